package ca

const workerEnv = "CA_TEST_WORKER"

func worker() int { return 0 }
