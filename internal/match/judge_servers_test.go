//go:build unix

package match_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program returns the path of a program, or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	found, err := exec.LookPath(name)
	if err == nil {
		return found
	}
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// output collects what a program prints until it says that it is ready.
type output struct {
	mu    sync.Mutex
	text  []byte
	until *regexp.Regexp
	ready chan []string
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	if o.until != nil {
		if found := o.until.FindStringSubmatch(string(o.text)); found != nil {
			o.until = nil
			o.ready <- found[1:]
		}
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// launch starts a server and waits until it says ready, whose submatches it
// returns. The server ends with the test.
func launch(t *testing.T, ready string, name string, args ...string) []string {
	t.Helper()
	found, err := tryLaunch(t, ready, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func tryLaunch(t *testing.T, ready string, name string, args ...string) ([]string, error) {
	t.Helper()
	out := &output{until: regexp.MustCompile(ready), ready: make(chan []string, 1)}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own, to end its children with it; and Apache sends signals
	// to the group that it is in.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); <-ended })
	select {
	case found := <-out.ready:
		return found, nil
	case <-ended:
		return nil, fmt.Errorf("%s ended: %s", name, out)
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("%s is not ready: %s", name, out)
	}
}

// launchOn starts a server that has to be told its ports: conf is a format of
// its directory, the root to serve, and n addresses, which are returned.
func launchOn(t *testing.T, n int, root, conf, ready, bin string, args ...string) (addrs []string) {
	t.Helper()
	var err error
	for range 3 { // another program may be faster to take a port
		dir := t.TempDir()
		values := []any{dir, root}
		addrs = freeAddresses(t, n)
		for _, addr := range addrs {
			values = append(values, addr)
		}
		file := filepath.Join(dir, "server.conf")
		if err := os.WriteFile(file, fmt.Appendf(nil, conf, values...), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err = tryLaunch(t, ready, bin, append(args, dir, file)...); err == nil {
			return addrs
		}
	}
	t.Fatal(err)
	return nil
}

func freeAddresses(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

const nginxConf = `daemon off; master_process off; pid %[1]s/pid; error_log stderr notice; events {}
http {
  access_log off; root %[2]s; index index.html;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen %[3]s; }
  server { listen %[4]s; merge_slashes off; }
}`

func startNginx(t *testing.T, root string) map[string]string {
	script := `exec "$0" -e stderr -p "$1" -c "$2"`
	addrs := launchOn(t, 2, root, nginxConf, `event method`, "sh", "-c", script, program(t, "nginx"))
	return map[string]string{"merging": addrs[0], "not merging": addrs[1]}
}

const apacheConf = `ServerRoot %[1]s
PidFile %[1]s/pid
DefaultRuntimeDir %[1]s
Mutex posixsem
ErrorLog /dev/stderr
LogLevel notice
ServerName localhost
DocumentRoot %[2]s
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
User #65534
Group #65534
Listen %[3]s
Listen %[4]s
Listen %[5]s
<VirtualHost %[3]s>
AllowEncodedSlashes Off
</VirtualHost>
<VirtualHost %[4]s>
AllowEncodedSlashes On
</VirtualHost>
<VirtualHost %[5]s>
AllowEncodedSlashes NoDecode
</VirtualHost>
`

func startApache(t *testing.T, root string) map[string]string {
	script := `exec "$0" -DFOREGROUND -d "$1" -f "$2"`
	addrs := launchOn(t, 3, root, apacheConf, `resuming normal operations`, "sh", "-c", script, program(t, "apache2"))
	return map[string]string{"slashes off": addrs[0], "slashes on": addrs[1], "slashes kept": addrs[2]}
}

const nodeScript = `
const http = require('http'), fs = require('fs'), path = require('path');
const root = process.argv[1];
const file = (name) => {
  const full = root + name;
  return fs.readFileSync(fs.statSync(full).isDirectory() ? full + '/index.html' : full);
};
const ways = [
  (url) => file(new URL(url, 'http://x').pathname),
  (url) => file(decodeURIComponent(new URL(url, 'http://x').pathname)),
  (url) => file(decodeURIComponent(path.normalize(url.split('?')[0]))),
  (url) => file(path.normalize(decodeURIComponent(url.split('?')[0]))),
  (url) => file(path.win32.normalize(decodeURIComponent(url.split('?')[0])).replaceAll('\\', '/')),
  // a router that looks at the path as it is, each route with a handler
  (url) => 'served:' + (['/v1/b', '/v1', '/admin'].find((p) => url === p || url.startsWith(p + '/')) ?? '/') + ';',
];
const ports = [];
for (const way of ways) {
  const server = http.createServer((req, res) => {
    try { res.end(way(req.url)); } catch (e) { res.statusCode = 404; res.end(); }
  }).listen(0, '127.0.0.1', () => {
    ports[ways.indexOf(way)] = server.address().port;
    if (Object.keys(ports).length === ways.length) console.log('ports ' + ports.join(' ') + ' .');
  });
}`

func startNode(t *testing.T, root string) map[string]string {
	found := launch(t, `ports (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) \.`, program(t, "node"), "-e", nodeScript, root)
	addrs := make(map[string]string)
	for i, way := range []string{"URL", "URL and decode", "normalize and decode", "decode and normalize", "Windows", "raw router"} {
		addrs[way] = "127.0.0.1:" + found[i]
	}
	return addrs
}

func startPython(t *testing.T, root string) map[string]string {
	found := launch(t, `port (\d+)`, program(t, "python3"), "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", root, "0")
	return map[string]string{"http.server": "127.0.0.1:" + found[0]}
}

// startGo serves the folders by the standard library, and in the order of a
// servlet container: parameters first, then decoding, then dot segments.
func startGo(t *testing.T, root string) map[string]string {
	files := http.FileServer(http.Dir(root))
	mux := http.NewServeMux()
	mux.Handle("/", files)
	servlet := func(w http.ResponseWriter, r *http.Request) {
		raw, _, _ := strings.Cut(r.RequestURI, "?")
		r.URL.Path = path.Clean(decode(parameter.ReplaceAllString(raw, "")))
		files.ServeHTTP(w, r)
	}
	addrs := make(map[string]string)
	for name, handler := range map[string]http.Handler{"ServeMux": mux, "FileServer": files, "servlet": http.HandlerFunc(servlet)} {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		addrs[name] = server.Listener.Addr().String()
	}
	return addrs
}
