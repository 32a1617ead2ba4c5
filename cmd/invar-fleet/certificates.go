package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
)

// rereadCertificates is how often the files of certificates are checked for
// changes.
const rereadCertificates = 10 * time.Second

// certificates are those of the server and of the clients' authorities. They are
// read again when the files change. If that fails, the earlier ones stay in use.
type certificates struct {
	cert, key, clientCA string
	logger              *zap.Logger

	mu      sync.Mutex
	checked time.Time
	changed [3]time.Time
	current *tls.Config
}

// readCertificates returns nil if no certificate is configured.
func readCertificates(o options, logger *zap.Logger) (*certificates, error) {
	if o.tlsCert == "" {
		return nil, nil
	}
	c := &certificates{cert: o.tlsCert, key: o.tlsKey, clientCA: o.clientCA, logger: logger}
	return c, c.read()
}

func (c *certificates) read() error {
	c.checked = time.Now()
	var changed [3]time.Time
	for i, path := range []string{c.cert, c.key, c.clientCA} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		if c.current != nil && !info.Mode().IsRegular() {
			return fmt.Errorf("TLS: %s: %w", path, regularfile.ErrNotRegular) // reading it might block
		}
		changed[i] = info.ModTime()
	}
	if c.current != nil && changed == c.changed {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if c.clientCA != "" {
		pem, err := os.ReadFile(c.clientCA)
		if err != nil {
			return fmt.Errorf("--client-ca: %w", err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--client-ca: %s has no certificate in PEM", c.clientCA)
		}
	}
	c.current, c.changed = config, changed
	return nil
}

// config returns a configuration that uses the latest certificates for every
// connection.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// ServeTLS requires a certificate here.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.latest().Certificates[0], nil
		},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.latest(), nil },
	}
}

// latest returns the current configuration. It reads the files if they are due.
func (c *certificates) latest() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= rereadCertificates {
		if err := c.read(); err != nil {
			c.logger.Error("Certificates not read again; the ones from before stay", zap.Error(err))
		}
	}
	return c.current
}
