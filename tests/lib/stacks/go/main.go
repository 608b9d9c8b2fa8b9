// SPDX-License-Identifier: GPL-3.0-or-later

// Go's crypto/tls for tests/system/test_stacks.py, standard library only.
//
//	stack server CERT KEY CA            echo; prints its port, and for each connection whether it was resumed
//	stack client CERT KEY CA PORT SIZE  SIZE bytes there and back, half-closed, then again; prints the same
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func config() *tls.Config {
	pair, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	check(err)
	pem, err := os.ReadFile(os.Args[4])
	check(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		// An SVID has no name that a TLS client would look for.
		InsecureSkipVerify: true, ServerName: "peer", ClientSessionCache: tls.NewLRUClientSessionCache(8)}
}

func serve(c *tls.Conn) {
	defer c.Close()
	if err := c.Handshake(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Println("resumed", c.ConnectionState().DidResume)
	if _, err := io.Copy(c, c); err == nil {
		c.CloseWrite()
	}
}

func server() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println("port", l.Addr().(*net.TCPAddr).Port)
	cfg := config()
	for {
		c, err := l.Accept()
		check(err)
		go serve(tls.Server(c, cfg))
	}
}

func ask(cfg *tls.Config, size int) {
	sent := make([]byte, size)
	rand.Read(sent)
	c, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[5], cfg)
	check(err)
	defer c.Close()
	failed := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		if err == nil {
			err = c.CloseWrite()
		}
		failed <- err
	}()
	got, err := io.ReadAll(c)
	check(err)
	check(<-failed)
	if !bytes.Equal(got, sent) {
		check(fmt.Errorf("%d bytes came back, not the %d that were sent", len(got), len(sent)))
	}
	fmt.Println("resumed", c.ConnectionState().DidResume)
}

func main() {
	if os.Args[1] == "server" {
		server()
	}
	size, err := strconv.Atoi(os.Args[6])
	check(err)
	cfg := config()
	ask(cfg, size)
	ask(cfg, size)
}
