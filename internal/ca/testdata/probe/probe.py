"""Reads [{host, port, roots}] and prints one line per trial: "ok" or "refused" and the reason."""
import json
import socket
import ssl
import sys

for trial in json.load(sys.stdin):
    context = ssl.create_default_context(cafile=trial["roots"])
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with socket.create_connection(("127.0.0.1", trial["port"])) as raw:
            context.wrap_socket(raw, server_hostname=trial["host"]).close()
        print("ok")
    except ssl.SSLCertVerificationError as err:
        print("refused", str(err).replace("\n", " "))
