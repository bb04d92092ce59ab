// A Kubernetes API server with its etcd in one process, for the tests of the Kubernetes integration. It is
// the real kube-apiserver, with RBAC; no controllers, no scheduler and no kubelet run beside it.
//
// Usage: apiserver --dir DIR --port PORT [--compact]
//
// DIR keeps what outlives a run: the database, the keys, and the certificate DIR/apiserver.crt that clients
// trust. The token "admin" may do everything. With --compact the history of the database is dropped before
// the API server starts, so that no watch can go on from where it was.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// How long etcd may take to open its database.
const etcdTimeout = 60 * time.Second

func main() {
	dir := flag.String("dir", "", "folder of the database, keys and certificate")
	port := flag.String("port", "", "port on 127.0.0.1")
	compact := flag.Bool("compact", false, "drop the history of the database first")
	flag.Parse()
	if *dir == "" || *port == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: apiserver --dir DIR --port PORT [--compact]")
		os.Exit(2)
	}
	if err := run(*dir, *port, *compact); err != nil {
		log.Fatal(err)
	}
}

func run(dir, port string, compact bool) error {
	etcd, err := startEtcd(filepath.Join(dir, "etcd"))
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer etcd.Close()
	if compact {
		if err := dropHistory(v3client.New(etcd.Server)); err != nil {
			return fmt.Errorf("compaction: %w", err)
		}
	}
	key := filepath.Join(dir, "service-account.key")
	if err := writeKey(key); err != nil {
		return err
	}
	tokens := filepath.Join(dir, "tokens.csv")
	if err := os.WriteFile(tokens, []byte("admin,admin,admin,system:masters\n"), 0o600); err != nil {
		return err
	}
	command := app.NewAPIServerCommand()
	command.SetArgs([]string{
		"--authorization-mode=RBAC",
		"--bind-address=127.0.0.1",
		"--cert-dir=" + dir,
		"--etcd-servers=" + etcd.Config().ListenClientUrls[0].String(),
		"--secure-port=" + port,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + key,
		"--service-account-signing-key-file=" + key,
		"--service-cluster-ip-range=10.96.0.0/16",
		// A stopped API server ends its watches at once.
		"--shutdown-delay-duration=0",
		"--token-auth-file=" + tokens,
	})
	return command.Execute()
}

func startEtcd(dir string) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir = dir
	config.LogLevel = "error"
	config.UnsafeNoFsync = true
	client, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config.ListenClientUrls = []url.URL{client}
	config.AdvertiseClientUrls = config.ListenClientUrls
	peer, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config.ListenPeerUrls = []url.URL{peer}
	config.AdvertisePeerUrls = config.ListenPeerUrls
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case <-time.After(etcdTimeout):
		etcd.Close()
		return nil, errors.New("not ready in time")
	}
}

// freeAddress returns an address that was free a moment ago.
func freeAddress() (url.URL, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return url.URL{}, err
	}
	defer listener.Close()
	return url.URL{Scheme: "http", Host: listener.Addr().String()}, nil
}

func dropHistory(client *clientv3.Client) error {
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), etcdTimeout)
	defer cancel()
	// A write, so that the last revision that a watcher saw is dropped as well.
	put, err := client.Put(ctx, "compacted", time.Now().String())
	if err != nil {
		return err
	}
	_, err = client.Compact(ctx, put.Header.Revision, clientv3.WithCompactPhysical())
	return err
}

// writeKey makes the key that signs the tokens of service accounts, unless it is there.
func writeKey(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err == nil {
		err = pem.Encode(file, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	}
	return errors.Join(err, file.Close())
}
