package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"counting/server/clientaddr"
	"counting/server/etcdstore"
	"counting/server/metrics"
	"counting/server/numbersfile"
	"counting/server/protocol"
	"counting/server/store"
)

// storeConfig holds -store, which selects the store, and the flags of etcd. Without
// -store the counts are kept in files.
type storeConfig struct {
	etcd         etcdstore.Address // with an empty URL, the counts are kept in files
	name         string
	passwordFile string
	imported     string // the file of -import
	game         string // the game that -import creates
}

func (c *storeConfig) flags(f *flag.FlagSet) {
	f.StringVar(&c.etcd.URL, "store", "", "keep the counts in etcd, at `etcd://host:port,host:port/prefix`, and not in files; etcds:// uses TLS, user@ before the hosts names a user")
	f.StringVar(&c.name, "store-name", hostname(), "`name` of this server in the store; no other running server may have it")
	f.StringVar(&c.etcd.CA, "store-ca", "", "`file` with the PEM certificates of the authorities that sign the store's certificates; by default the system's")
	f.StringVar(&c.etcd.Cert, "store-cert", "", "`file` with the PEM certificate that identifies this server to the store")
	f.StringVar(&c.etcd.Key, "store-key", "", "`file` with the PEM key of that certificate")
	f.StringVar(&c.passwordFile, "store-password-file", "", "`file` with the password of the store's user")
	f.StringVar(&c.imported, "import", "", "create a game in the store with the count of a numbers.txt, `file`, and exit; the server that writes the file must have ended")
	f.StringVar(&c.game, "game", store.Default, "`name` of the game that -import creates; if not given, the default game")
}

// check validates the flags.
func (c *storeConfig) check(faithful bool) error {
	switch {
	case c.etcd.URL == "" && c.imported != "":
		return errors.New("-import needs -store, in which the game is created")
	case c.etcd.URL == "" && (c.etcd.CA != "" || c.etcd.Cert != "" || c.etcd.Key != "" || c.passwordFile != ""):
		return errors.New("-store-ca, -store-cert, -store-key and -store-password-file need -store")
	case c.etcd.URL == "":
		return nil
	case faithful:
		return errors.New("-store cannot be combined with -faithful: the original writes a file")
	case c.game != store.Default && c.imported == "":
		return errors.New("-game needs -import; clients name their game themselves")
	}
	if c.game != store.Default {
		if err := protocol.CheckGame(c.game); err != nil {
			return fmt.Errorf("-game %q: %w", c.game, err)
		}
	}
	if c.passwordFile != "" {
		text, err := os.ReadFile(c.passwordFile)
		if err != nil {
			return fmt.Errorf("-store-password-file: %w", err)
		}
		if c.etcd.Password = strings.TrimSpace(string(text)); c.etcd.Password == "" {
			return fmt.Errorf("-store-password-file %s is empty", c.passwordFile)
		}
	}
	if err := c.etcd.Check(); err != nil {
		return fmt.Errorf("-store: %w", err) // without the value, in which somebody may have put a password
	}
	return nil
}

// openStore opens the store that the flags select, and registers its metrics. The function
// that it returns opens the file of faithful mode; it is nil for a store without files.
func openStore(ctx context.Context, c config, self store.Elsewhere, counts *metrics.Metrics, log *slog.Logger) (store.Store, func(context.Context) (*numbersfile.File, error), error) {
	if c.store.etcd.URL != "" {
		s, err := etcdstore.Open(ctx, c.store.etcd, etcdstore.Options{
			Name: c.store.name, Addr: self.Addr, Secret: self.Secret, MaxGames: keptGames * c.maxGames, Log: log,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("-store: %w", err)
		}
		counts.RegisterStore(s.Stats)
		if clientaddr.Parse(self.Addr).IsLoopback() {
			log.Warn("Servers on other machines cannot forward requests to this one: -internal-addr is "+self.Addr, "address", self.Addr)
		}
		return s, nil, nil
	}
	s, err := numbersfile.OpenShared(c.data, keptGames*c.maxGames, self, numbersfile.Options{
		Faithful: c.faithful,
		Progress: func(line string) { log.Info(line) },
	})
	if err != nil {
		return nil, nil, err
	}
	return s, s.OpenFile, nil
}

// importFile creates a game in the store with the count of a file.
func importFile(ctx context.Context, c storeConfig, stdout io.Writer) error {
	lines, bad, err := numbersfile.VerifyWithProgress(c.imported, func(line string) { fmt.Fprintln(stdout, line) })
	switch {
	case err != nil:
		return fmt.Errorf("-import: %w", err)
	case bad != nil:
		return fmt.Errorf("-import: %s is not an unbroken count: it is one up to line %d, but %v; nothing was imported", c.imported, lines, bad)
	case lines == 0:
		return fmt.Errorf("-import: %s is empty; nothing was imported", c.imported)
	}
	if err := etcdstore.Import(ctx, c.etcd, c.game, lines); err != nil {
		return fmt.Errorf("-import: %w", err)
	}
	fmt.Fprintf(stdout, "imported %s: the count goes on with %d\n", c.imported, lines+1)
	return nil
}
