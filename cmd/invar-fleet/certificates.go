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

// rereadCertificates is how long files of certificates are believed before they
// are looked at again.
const rereadCertificates = 10 * time.Second

// certificates are those of the server and of the clients' authorities. They are
// read again when the files change; if the new ones are not right, the ones from
// before stay.
type certificates struct {
	cert, key, clientCA string
	logger              *zap.Logger

	mu      sync.Mutex
	looked  time.Time
	changed [3]time.Time
	current *tls.Config
}

// readCertificates returns nil if TLS is not wanted.
func readCertificates(o options, logger *zap.Logger) (*certificates, error) {
	if o.tlsCert == "" {
		return nil, nil
	}
	c := &certificates{cert: o.tlsCert, key: o.tlsKey, clientCA: o.clientCA, logger: logger}
	return c, c.read()
}

func (c *certificates) read() error {
	c.looked = time.Now()
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
			return fmt.Errorf("TLS: %s: %w", path, regularfile.ErrNotRegular) // whoever connects would wait for it
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

// config returns one that asks for the newest with every connection.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// ServeTLS wants to see that there is a certificate.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.newest().Certificates[0], nil
		},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.newest(), nil },
	}
}

func (c *certificates) newest() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= rereadCertificates {
		if err := c.read(); err != nil {
			c.logger.Error("Certificates not read again; the ones from before stay", zap.Error(err))
		}
	}
	return c.current
}
