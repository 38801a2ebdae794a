// Made with the gguf package 0.19.0 (gguf.quants.dequantize, NumPy): for each type of codec.bin, the SHA-256 of the F32 values of all its
// rows. A decoder that shares no code with ggml's C.
static const struct { int type; const char *values; } gguf_decoded[] = {
    { 1, "3fcf5b138c50c031e1b1519cafa05fd73a149c8d7a5c44a34899097b0f2622d2" },
    { 30, "3cc27682cc1e74ab82648aa8e43432f8ecbef17e2ad60c354efb7f2161c988cd" },
    { 8, "2a8900e8da01163a82b91ff20bd173c8680e6b697bf727b1920b4b9af3623dc2" },
    { 2, "55cbfa3c1682eddcc9ef89fb38b55c2c8d19e9e3642559adc15ee72c16bb8872" },
    { 3, "d60d20718b7382e6d3bf2ffd658439d64f5126a19659257892f3274bfdc85f4a" },
    { 6, "f923bbee6a7b9d36d1c750595e927b349376f7f442900bb1d95c3055cba6cd5f" },
    { 7, "7f14db2b6a1803aa53edc88083707fe4e63dcd9f1439a92941065648f89fd421" },
    { 10, "0dc5ce48df502b5d4705b8513dd4d5867a2b87f32625e6e5db4e9b8a339350be" },
    { 11, "c30863ac55b2ba32e8548a9a8ef5c1dd31107eb4e6bcf24fdfc75b9b2fe20afe" },
    { 12, "8742651ffb2d8d9b75d255b88bd17d2efe22aa64896bc38a5ebda07c75c3ba0b" },
    { 13, "5c4179f6bc05c929052a92ea4d2fe03cbc1472619def775cbc2737dc71a3e3b5" },
    { 14, "bd3255749d16a81e3bd49f4f3a6f2cfcb7e22b7e54e1792faadd143452f290a3" },
};
