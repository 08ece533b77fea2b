package kernel

import "golang.org/x/sys/unix"

// allowAMX asks the system for the registers of AMX, which programs get on demand, once for
// all their threads (Linux, Documentation/arch/x86/xstate.rst).
func allowAMX() bool {
	const requestPermission, tileData = 0x1023, 18
	_, _, errno := unix.Syscall(unix.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return errno == 0
}
