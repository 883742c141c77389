package automation

const (
	bucketName   = "kubefoundry"
	bucketStream = "KV_" + bucketName
	bucketPrefix = "$KV." + bucketName + "."
	eventsStream = "KUBEFOUNDRY_EVENTS"
	eventsPrefix = "kubefoundry.events."
)

// mayPublish is what a client has to send to read: requests to JetStream and acknowledgements. Everything else is refused:
// documents and events, and streams, which the client does not make, change, purge or delete.
func mayPublish() []string {
	subjects := []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.ACK.>", "$JS.FC.>"}
	for _, stream := range []string{bucketStream, eventsStream} {
		subjects = append(subjects,
			"$JS.API.STREAM.INFO."+stream,
			"$JS.API.STREAM.MSG.GET."+stream,
			"$JS.API.DIRECT.GET."+stream,
			"$JS.API.DIRECT.GET."+stream+".>",
			"$JS.API.CONSUMER.CREATE."+stream,
			"$JS.API.CONSUMER.CREATE."+stream+".>",
			"$JS.API.CONSUMER.DURABLE.CREATE."+stream+".*",
			"$JS.API.CONSUMER.INFO."+stream+".*",
			"$JS.API.CONSUMER.NAMES."+stream,
			"$JS.API.CONSUMER.LIST."+stream,
			"$JS.API.CONSUMER.DELETE."+stream+".*",
			"$JS.API.CONSUMER.MSG.NEXT."+stream+".*",
		)
	}
	return subjects
}

func maySubscribe() []string {
	return []string{eventsPrefix + ">", bucketPrefix + ">", "_INBOX.>"}
}
