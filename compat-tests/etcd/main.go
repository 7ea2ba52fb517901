// Command etcd runs one member of an etcd cluster, as a process that tests can kill.
package main

import (
	"flag"
	"log"
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"
)

func main() {
	config := embed.NewConfig()
	config.LogLevel, config.LogOutputs = "error", []string{"stderr"}
	config.UnsafeNoFsync = true // tests end processes, and never the machine
	flag.StringVar(&config.Name, "name", "", "`name` of the member")
	flag.StringVar(&config.Dir, "data-dir", "", "`directory` of its data")
	flag.StringVar(&config.InitialCluster, "initial-cluster", "", "all members, as `name=url,name=url`: their addresses for each other")
	clients := flag.String("listen-client-urls", "", "`url` for clients")
	peers := flag.String("listen-peer-urls", "", "`url` for the other members")
	advertised := flag.String("initial-advertise-peer-urls", "", "`url` of this member for the others")
	flag.Parse()
	config.ListenClientUrls, config.AdvertiseClientUrls = parse(*clients), parse(*clients)
	config.ListenPeerUrls, config.AdvertisePeerUrls = parse(*peers), parse(*advertised)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(<-etcd.Err())
}

func parse(text string) []url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		log.Fatalf("%q is not a URL of a member: %v", text, err)
	}
	return []url.URL{*u}
}
