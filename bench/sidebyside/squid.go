package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// certgen is what squid mints its certificates with, where Debian puts it.
const certgen = "/usr/lib/squid/security_file_certgen"

func squidInstalled(*rig) (string, bool) {
	if _, err := exec.LookPath("squid"); err != nil {
		return "not installed", false
	}
	if _, err := os.Stat(certgen); err != nil {
		return "without ssl-bump: install squid-openssl", false
	}
	return version("squid", "-v"), true
}

// squidConf is squid as it is deployed for this, without what would only slow
// it down here: no cache, no log of requests.
const squidConf = `http_port ADDR ssl-bump tls-cert=DIR/ca.pem tls-key=DIR/ca.pem generate-host-certificates=on dynamic_cert_mem_cache_size=16MB
sslcrtd_program CERTGEN -s DIR/certificates -M 16MB
acl local src 127.0.0.0/8
http_access allow local
ssl_bump bump all
tls_outgoing_options cafile=UPSTREAM
request_header_access Authorization deny all
request_header_add Authorization "Bearer injected" local
cache deny all
access_log none
cache_log DIR/cache.log
pid_filename none
coredump_dir DIR
shutdown_lifetime 0 seconds
`

// startSquid starts squid in the foreground. As root it is made to give that up,
// as its package has it.
func startSquid(ctx context.Context, r *rig, _ work) (route, error) {
	dir, err := os.MkdirTemp(r.dir, "squid-")
	if err != nil {
		return route{}, err
	}
	ca, err := squidCA(dir)
	if err != nil {
		return route{}, err
	}
	out, err := exec.CommandContext(ctx, certgen, "-c", "-s", filepath.Join(dir, "certificates"), "-M", "16MB").CombinedOutput()
	if err != nil {
		return route{}, fmt.Errorf("%s: %w: %s", certgen, err, out)
	}
	conf := squidConf
	if os.Geteuid() == 0 {
		if err := give(dir, "proxy"); err != nil {
			return route{}, err
		}
		conf += "cache_effective_user proxy\n"
	}
	return r.begin(ctx, ca, func(addr string) (*process, error) {
		file := filepath.Join(dir, "squid.conf")
		text := strings.NewReplacer("ADDR", addr, "CERTGEN", certgen, "DIR", dir, "UPSTREAM", r.file(upstreamCA)).Replace(conf)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return nil, err
		}
		return launch(r.dir, r.environ, "squid", "-N", "-f", file)
	})
}

// squidCA makes a CA for squid to sign with, and returns the file that holds it.
func squidCA(dir string) (string, error) {
	a, err := newAuthority("squid of a measurement")
	if err != nil {
		return "", err
	}
	key, err := a.keyPEM()
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "ca.pem")
	return file, os.WriteFile(file, slices.Concat(a.pem(), key), 0o600)
}

// give makes everything below dir another user's.
func give(dir, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}
