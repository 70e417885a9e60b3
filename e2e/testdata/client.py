"""GET the first URL, POST a file to the second, print what comes back."""

import sys
import urllib.request

get, post, name = sys.argv[1:]
with urllib.request.urlopen(get) as answer:
    sys.stdout.write(answer.read().decode())
with open(name, "rb") as body, urllib.request.urlopen(post, data=body.read()) as answer:
    sys.stdout.write(answer.read().decode())
