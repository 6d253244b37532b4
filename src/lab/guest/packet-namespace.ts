/**
 * A user and network namespace for a guest where no TAP is allowed: needs neither root nor
 * /dev/net/tun. The guest's veth is driven through a packet socket that `packet-holder.ts` opens
 * inside and passes out.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { loadPosix } from '../../native/load.ts';
import { distFile } from '../../network/own-files.ts';
import { GuestUnavailableError } from './embedded-guest.ts';
import type { GuestNamespace } from './kernel-guest.ts';
import { requirePrograms } from './require-programs.ts';

const HOLDER = fileURLToPath(distFile('bin/packet-holder.js'));

/** @throws GuestUnavailableError where user namespaces, iproute2 or koffi are missing */
export async function makePacketNamespace(ifName = 'eth0'): Promise<GuestNamespace> {
  try {
    return await make(ifName);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new GuestUnavailableError(`no unprivileged network namespace can be made (${why})`, {
      cause,
    });
  }
}

async function make(ifName: string): Promise<GuestNamespace> {
  requirePrograms('unshare', 'nsenter', 'ip');
  const posix = loadPosix('receive a packet socket from the guest');
  const [ours, theirs] = posix.socketPair('stream');
  try {
    const child = spawn('unshare', ['-Urn', process.execPath, HOLDER, ifName], {
      stdio: ['pipe', 'pipe', 'pipe', theirs],
    });
    let said = '';
    child.stderr?.on('data', (chunk) => {
      said += chunk;
    });
    const started =
      child.stdout === null
        ? Promise.reject(new Error('no pipe'))
        : Promise.race([once(child.stdout, 'data'), once(child, 'close')]);
    await started;
    const packetFd = posix.recvFd(ours);
    if (packetFd === undefined) {
      child.kill('SIGKILL');
      throw new Error(said.trim().split('\n')[0] || `unshare ended with ${child.exitCode}`);
    }
    return {
      kind: 'packet',
      about: "this machine's Linux kernel in an unprivileged namespace, on a packet socket",
      link: undefined,
      packetFd,
      ifName,
      enter: (argv) => [
        ...['nsenter', '-t', String(child.pid), '-U', '-n', '--preserve-credentials', '--'],
        ...argv,
      ],
      remove: () => {
        child.kill('SIGKILL');
      },
    };
  } finally {
    posix.close(ours);
    posix.close(theirs);
  }
}
