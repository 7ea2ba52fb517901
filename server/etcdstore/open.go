package etcdstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// Address is the address of a store, as given by flags.
type Address struct {
	// URL is etcd://host:port,host:port/prefix, or etcds:// for TLS. The optional prefix
	// is that of all keys; user@ before the hosts names a user.
	URL string
	// CA, Cert and Key are PEM files: the authorities that sign the members'
	// certificates, by default the system's, and this client's certificate and key. Any
	// of them enables TLS. Certificate and key are read for each connection.
	CA, Cert, Key string
	Password      string // of the user
}

// parsed holds the parts of a URL.
type parsed struct {
	endpoints    []string
	secure       bool
	user, prefix string
}

// parse parses the URL.
func (a Address) parse() (p parsed, err error) {
	wrong := func(format string, args ...any) (parsed, error) {
		return p, fmt.Errorf("%s, like etcd://host:2379,host:2379/prefix", fmt.Sprintf(format, args...))
	}
	rest, plain := strings.CutPrefix(a.URL, "etcd://")
	if !plain {
		if rest, p.secure = strings.CutPrefix(a.URL, "etcds://"); !p.secure {
			return wrong("it must begin with etcd:// or etcds://")
		}
	}
	hosts, prefix, _ := strings.Cut(rest, "/")
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		p.prefix = prefix + "/"
	}
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		p.user, hosts = hosts[:at], hosts[at+1:]
		if p.user == "" || strings.Contains(p.user, ":") {
			return wrong("before the @ must be a user's name, and no password: that would be seen by all users of the machine")
		}
	}
	for endpoint := range strings.SplitSeq(hosts, ",") {
		endpoint = strings.TrimSpace(endpoint)
		if host, port, err := net.SplitHostPort(endpoint); err != nil || host == "" || port == "" {
			return wrong("%q is not host:port", endpoint)
		}
		p.endpoints = append(p.endpoints, endpoint)
	}
	for _, c := range p.prefix {
		if c <= ' ' || c > '~' || strings.ContainsRune("?#", c) {
			return wrong("the prefix %q has a character that may not be in it", p.prefix)
		}
	}
	p.secure = p.secure || a.CA != "" || a.Cert != "" || a.Key != ""
	switch {
	case (a.Cert == "") != (a.Key == ""):
		return p, errors.New("a certificate and its key must be given together")
	case p.user != "" && a.Password == "":
		return p, fmt.Errorf("there is no password for the user %q", p.user)
	case p.user == "" && a.Password != "":
		return p, errors.New("there is a password, but no user: etcd://user@host:port")
	}
	return p, nil
}

// Check validates the address. It does not read files.
func (a Address) Check() error {
	_, err := a.parse()
	return err
}

// tls returns the configuration for TLS.
func (a Address) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.CA != "" {
		text, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate in PEM", a.CA)
		}
	}
	if a.Cert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
			return &pair, err
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return c, nil
}

func (a Address) register() (register, string, error) {
	p, err := a.parse()
	if err != nil {
		return nil, "", err
	}
	var secure *tls.Config
	if p.secure {
		if secure, err = a.tls(); err != nil {
			return nil, "", err
		}
	}
	return newCluster(p.endpoints, secure, p.user, a.Password), p.prefix, nil
}

// Open opens the store at an address. While etcd does not answer, it retries and logs
// that, until ctx ends: then the error wraps its cause. The caller must Close the store.
func Open(ctx context.Context, a Address, o Options) (*Store, error) {
	r, prefix, err := a.register()
	if err != nil {
		return nil, err
	}
	o.prefix = prefix
	return newStore(ctx, r, o)
}

// Import creates a game whose count is at last. The game must not exist.
func Import(ctx context.Context, a Address, game string, last int64) error {
	r, prefix, err := a.register()
	if err != nil {
		return err
	}
	defer r.close()
	return importGame(ctx, r, prefix, game, last)
}
