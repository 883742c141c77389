package runtimes

// The container images that deployments run on, in one place. Each can be replaced in a configuration (image, rayImage,
// imageRef). One without a version is published without one.
const (
	dynamoImages  = "nvcr.io/nvidia/ai-dynamo/"
	DynamoVersion = "1.3.1"
	RayVersion    = "2.52.0"

	ImageDynamoVLLM   = dynamoImages + "vllm-runtime:" + DynamoVersion
	ImageDynamoSGLang = dynamoImages + "sglang-runtime:" + DynamoVersion
	ImageDynamoTRTLLM = dynamoImages + "tensorrtllm-runtime:" + DynamoVersion
	ImageRayLLM       = "rayproject/ray-llm:" + RayVersion + "-py311-cu128"
	ImageKaitoVLLM    = "mcr.microsoft.com/aks/kaito/kaito-base:0.1.1"
	ImageAIKitRunner  = "docker.io/sozercan/runner:latest"
	// RepositoryAIKit has the images with a model in them, by tag.
	RepositoryAIKit = "ghcr.io/kaito-project/aikit/"
	// RepositoryBuilds is where nodes pull images from that were built in the cluster.
	RepositoryBuilds = "localhost:30500/"
)
