"""The town's devices: instruments with errors of their own behind Modbus TCP servers."""
