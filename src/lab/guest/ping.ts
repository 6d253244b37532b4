/** `ping` (RFC 792, RFC 4443 §4) by a ping socket of this process's network namespace, which must be the guest's own. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { PosixError } from '../../native/errors.ts';
import { loadPosix } from '../../native/load.ts';
import type { Posix } from '../../native/posix.ts';
import { LeftOutError } from '../step-report.ts';

const PERMITTED = '/proc/sys/net/ipv4/ping_group_range';
/** Type of an echo request and of its reply. */
const ECHO = { 4: [8, 0], 6: [128, 129] } as const;
const SEQUENCE = 6;
const ECHO_BYTES = 64;
const COUNT = 5;
const TIMEOUT_MS = 2000;

/**
 * @returns the mean round-trip time in ms of five, each sent when the one before has been answered
 * @throws LeftOutError where the kernel permits no ping socket
 */
export async function ping(address: string): Promise<number> {
  const family = address.includes(':') ? 6 : 4;
  const fd = openPingSocket(loadPosix('open a ping socket in the guest'), family);
  const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
  const listening = once(socket, 'listening'); // for a descriptor it comes before bind returns
  socket.bind({ fd });
  await listening;
  try {
    let totalMs = 0;
    for (let sequence = 1; sequence <= COUNT; sequence++) {
      totalMs += await roundTrip(socket, ECHO[family], address, sequence);
    }
    return totalMs / COUNT;
  } finally {
    socket.close();
  }
}

/** A new network namespace permits nobody; its root may permit itself (icmp(7)). */
function openPingSocket(posix: Posix, family: 4 | 6): number {
  try {
    return posix.openPingSocket(family);
  } catch (error) {
    if (!(error instanceof PosixError) || error.code !== 'EACCES') throw error;
  }
  const group = process.getgid?.() ?? 0;
  try {
    writeFileSync(PERMITTED, `${group} ${group}`);
    return posix.openPingSocket(family);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new LeftOutError(
      `left out: no ping socket for group ${group} (net.ipv4.ping_group_range is ${range()}: ${why})`,
      { cause },
    );
  }
}

const range = (): string => readFileSync(PERMITTED, 'utf8').trim().replace(/\s+/, ' ');

function roundTrip(
  socket: Socket,
  [echo, echoReply]: readonly [number, number],
  address: string,
  sequence: number,
): Promise<number> {
  const request = Buffer.alloc(ECHO_BYTES); // the kernel sets identifier and checksum
  request[0] = echo;
  request.writeUInt16BE(sequence, SEQUENCE);
  return new Promise((resolve, reject) => {
    const begin = performance.now();
    const end = (error: Error | null): void => {
      clearTimeout(timer);
      socket.off('message', onMessage);
      socket.off('error', end);
      if (error === null) resolve(performance.now() - begin);
      else reject(error);
    };
    const onMessage = (reply: Buffer, from: { readonly address: string }): void => {
      if (from.address !== address || reply.length !== ECHO_BYTES) return;
      if (reply[0] === echoReply && reply.readUInt16BE(SEQUENCE) === sequence) end(null);
    };
    const timer = setTimeout(
      () => end(new Error(`no answer to echo request ${sequence} within ${TIMEOUT_MS} ms`)),
      TIMEOUT_MS,
    );
    socket.on('message', onMessage);
    socket.on('error', end);
    socket.send(request, 1, address, (error) => {
      if (error) end(error);
    });
  });
}
