package costs

import (
	"regexp"
	"strings"
)

// Provider is a cloud.
type Provider string

// The providers whose machine types can be told.
const (
	Azure Provider = "azure"
	AWS   Provider = "aws"
	GCP   Provider = "gcp"
)

var (
	azureType = regexp.MustCompile(`^(?i:standard|basic)_[A-Za-z0-9_-]{1,90}$`)
	// awsType is a family with its generation, and a size: g5.xlarge, p4de.24xlarge, u-6tb1.metal.
	awsType = regexp.MustCompile(`^(?:[a-z]{1,4}[0-9]+[a-z0-9-]*|u-[a-z0-9-]+)\.(?:[a-z0-9-]+)$`)
	gcpType = regexp.MustCompile(`^(?:[acefghmntxz][0-9]{1,2}[a-z]{0,2}|ct[0-9][a-z]{0,2}|custom)-[a-z0-9-]+$`)

	// regionName is what all of them call regions: eastus2, eu-west-1, europe-west4.
	regionName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,49}$`)
)

// ProviderOf tells whose machine type a name is; empty where it is nobody's.
func ProviderOf(instanceType string) Provider {
	switch {
	case len(instanceType) > 100:
		return ""
	case azureType.MatchString(instanceType):
		return Azure
	case awsType.MatchString(instanceType):
		return AWS
	case gcpType.MatchString(instanceType):
		return GCP
	}
	return ""
}

// IsRegion tells whether a text can be a region's name.
func IsRegion(name string) bool { return regionName.MatchString(name) && !strings.HasSuffix(name, "-") }

// defaultRegion is where a price is taken from if nothing tells where a machine is.
func defaultRegion(p Provider) string { return prices().Providers[p].Region }
