// Package rewardpb is the protocol of rewards that live in a process of their own:
// the messages of reward.proto and the client and server of its service.
//
// docs/rewards.md explains the protocol. Generated, but for this file and the
// schema, with protoc, protoc-gen-go v1.36.12 and protoc-gen-connect-go v1.21.1.
package rewardpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative --connect-go_out=. --connect-go_opt=paths=source_relative,package_suffix reward.proto
