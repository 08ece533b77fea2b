// A kernel for tests: y = y + a·x for n elements. axpy.ptx is what the command makes of it:
// clang-19 -x cuda --cuda-device-only --cuda-gpu-arch=sm_80 --cuda-feature=+ptx70 -nocudainc -nocudalib -O2 -S axpy.cu
extern "C" __attribute__((global)) void test_axpy(const float *x, float *y, float a, int n)
{
	int i = __nvvm_read_ptx_sreg_ctaid_x() * __nvvm_read_ptx_sreg_ntid_x() + __nvvm_read_ptx_sreg_tid_x();
	if (i < n)
		y[i] += a * x[i];
}
