/*
 * bcryptprimitives.dll for Wine releases that have none (8.0 of Debian 12).
 *
 * The Go runtime loads this system library when a program starts and takes its
 * random bytes from ProcessPrng; without it no Go program starts.
 *
 * Being in every Go program, the library also mends one answer of Wine 8.0, for
 * which os.RemoveAll, and so testing.T.TempDir, fails: asked for the deletion of a
 * file in the way Windows has had since 2016 (FileDispositionInformationEx),
 * NtSetInformationFile says STATUS_NOT_IMPLEMENTED. An old Windows, or a later
 * Wine, says STATUS_INVALID_INFO_CLASS, on which Go deletes in the old way.
 *
 * Built with -DPROBE the same file is a program that loads the library the way
 * the Go runtime does, and exits 0 if it delivers.
 */
#include <windows.h>
#include <stdio.h>
#include <string.h>

#ifndef PROBE

/* RtlGenRandom, exported by advapi32 under this name. */
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
    while (size > 0) {
        ULONG n = size > 1 << 20 ? 1 << 20 : (ULONG)size;
        if (!SystemFunction036(data, n))
            return FALSE;
        data += n;
        size -= n;
    }
    return TRUE;
}

#define INFO_DISPOSITION_EX 64
#define INVALID_INFO_CLASS ((LONG)0xC0000003)

typedef LONG (NTAPI *set_information)(HANDLE, PVOID, PVOID, ULONG, ULONG);

static set_information wine_set_information;

static LONG NTAPI our_set_information(HANDLE file, PVOID status, PVOID data, ULONG size, ULONG class)
{
    if (class == INFO_DISPOSITION_EX)
        return INVALID_INFO_CLASS;
    return wine_set_information(file, status, data, size, class);
}

/*
 * Wine's entry to a system call: 32 bytes that work at any address, the number of
 * the call at offset 4. They are moved elsewhere, and a jump takes their place; if
 * they look different from what is known here, nothing is done.
 */
static void mend(void)
{
    static const BYTE head[] = {0x4c, 0x8b, 0xd1, 0xb8};
    static const BYTE tail[] = {
        0xf6, 0x04, 0x25, 0x08, 0x03, 0xfe, 0x7f, 0x01, 0x75, 0x03, 0x0f, 0x05,
        0xc3, 0xeb, 0x01, 0xc3, 0xff, 0x14, 0x25, 0x00, 0x10, 0xfe, 0x7f, 0xc3,
    };
    BYTE jump[14] = {0xff, 0x25, 0, 0, 0, 0}; /* jmp to the address that follows */
    PVOID target = (PVOID)our_set_information;
    BYTE *entry = (BYTE *)GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtSetInformationFile");
    BYTE *moved;
    DWORD old;

    if (!entry || memcmp(entry, head, sizeof head) || memcmp(entry + 8, tail, sizeof tail))
        return;
    moved = VirtualAlloc(NULL, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
    if (!moved)
        return;
    memcpy(moved, entry, 32);
    wine_set_information = (set_information)(PVOID)moved;
    memcpy(jump + 6, &target, sizeof target);
    if (!VirtualProtect(entry, sizeof jump, PAGE_EXECUTE_READWRITE, &old))
        return;
    memcpy(entry, jump, sizeof jump);
    VirtualProtect(entry, sizeof jump, old, &old);
}

BOOL WINAPI DllMain(HINSTANCE library, DWORD reason, LPVOID reserved)
{
    (void)reserved;
    if (reason == DLL_PROCESS_ATTACH) {
        DisableThreadLibraryCalls(library);
        mend();
    }
    return TRUE;
}

#else

typedef BOOL (WINAPI *process_prng)(PBYTE, SIZE_T);

int main(void)
{
    BYTE a[32] = {0}, b[32] = {0};
    HMODULE lib = LoadLibraryExA("bcryptprimitives.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
    process_prng prng;

    if (!lib) {
        fprintf(stderr, "bcryptprimitives.dll does not load: error %lu\n", GetLastError());
        return 1;
    }
    prng = (process_prng)(void *)GetProcAddress(lib, "ProcessPrng");
    if (!prng) {
        fprintf(stderr, "bcryptprimitives.dll does not export ProcessPrng\n");
        return 1;
    }
    if (!prng(a, sizeof a) || !prng(b, sizeof b) || !memcmp(a, b, sizeof a)) {
        fprintf(stderr, "ProcessPrng gives no random bytes\n");
        return 1;
    }
    return 0;
}

#endif
