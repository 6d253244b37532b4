/** A kernel without IPv6, or what a process takes for one: a library that it is started with. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SHIM = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>
int socket(int family, int type, int protocol) {
  static int (*real)(int, int, int);
  if (family == AF_INET6) { errno = EAFNOSUPPORT; return -1; }
  if (!real) real = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
  return real(family, type, protocol);
}
`;

/** @returns the value of LD_PRELOAD that takes IPv6 away from a process; its directory is the caller's to remove */
export function buildNoIpv6(): { readonly library: string; readonly dir: string } {
  const dir = mkdtempSync(join(tmpdir(), 'hawser-no-ipv6-'));
  const [source, library] = [join(dir, 'shim.c'), join(dir, 'shim.so')];
  writeFileSync(source, SHIM);
  execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
  return { library, dir };
}
