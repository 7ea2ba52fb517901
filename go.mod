module counting

go 1.26

require (
	github.com/divan/num2words v0.0.0-20170904212200-57dba452f942
	github.com/zishang520/socket.io-client-go v1.1.0
	github.com/zishang520/socket.io/v2 v2.5.0
)
