package collector

import "os"

func memoryLimit() int64 { return limitIn(os.DirFS("/")) }
