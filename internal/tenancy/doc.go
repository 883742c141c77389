// Package tenancy holds the tests of one promise on the real thing: nobody sees or does more than with kubectl.
//
// They run `kubefoundry serve` as it is shipped, under exactly the ServiceAccount and the rights of deploy/kubefoundry.yaml,
// on a development cluster whose API server authenticates, authorises and aggregates as every other does.
package tenancy
