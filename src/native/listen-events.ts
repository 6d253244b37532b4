/**
 * TCP sockets that begin to listen, and that end, in all network namespaces: the kernel's tracepoint
 * sock:inet_sock_set_state, by perf_event_open(2), without a program in the kernel. It needs CAP_PERFMON (root has it) and
 * tracefs. A filter in the kernel passes these changes of state alone, so that connections cost nothing here.
 *
 * Each processor has a ring, which is read from memory, without a system call. What was lost is said. That events come is
 * tried once, with a socket: whoever has opened this may rely on them.
 */
import { readFileSync } from 'node:fs';
import {
  AF_INET,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from './constants.ts';
import { PosixError } from './errors.ts';
import type { Libc } from './libc.ts';
import type { ListenEvent, ListenEvents } from './posix.ts';

const TRACEFS = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'] as const;
const EVENT = 'events/sock/inet_sock_set_state';
/** TCP_LISTEN and TCP_CLOSE. Sockets of clients that are accepted come from a copy of one that listens: LISTEN to SYN_RECV. */
const FILTER = 'newstate == 10 || (oldstate == 10 && newstate == 7)\0';
const LISTEN = 10;

const PERF_EVENT_OPEN: Readonly<Record<string, number>> = { x64: 298, arm64: 241 };
const PERF_FLAG_FD_CLOEXEC = 8;
const IOC_ENABLE = 0x2400;
const IOC_SET_FILTER = 0x4008_2406;
/** struct perf_event_attr; above 64 bytes, so that it never moves. */
const ATTR_LEN = 112;
const PERF_TYPE_TRACEPOINT = 2;
const PERF_SAMPLE_TIME_RAW = (1 << 2) | (1 << 10);
const DISABLED = 1;
const USE_CLOCKID = 1 << 25;
/** Node's own. */
const CLOCK_MONOTONIC = 1;
const CLOCKID = 92;
/** Of struct perf_event_mmap_page. */
const HEAD = 1024;
const TAIL = 1032;
const DATA_PAGES = 8;
const RECORD_LOST = 2;
const RECORD_SAMPLE = 9;
/** struct perf_event_header, the time, the length of what is raw. */
const TIME = 8;
const RAW = 20;
const HEADER_LEN = 8;
/** More than a record has. */
const RECORD_ROOM = 256;
const CPUS_MAX = 256;
const WORD = 2 ** 32;
const NS_OF_MS = 1e6;

interface Fields {
  readonly id: number;
  readonly socket: number;
  readonly newState: number;
  readonly port: number;
}

interface Ring {
  readonly fd: number;
  readonly control: BigUint64Array;
  readonly data: DataView;
  readonly address: number;
}

/** In ns. */
interface Timed extends Omit<ListenEvent, 'ageMs'> {
  readonly at: number;
}

/** @throws PosixError, Error */
export function openListenEvents(c: Libc): ListenEvents {
  const fields = readFields();
  const pageLen = c.getpagesize();
  const rings: Ring[] = [];
  const unmap = (): void => {
    for (const { address } of rings.splice(0)) c.munmap(address, (1 + DATA_PAGES) * pageLen);
  };
  try {
    for (const cpu of cpus()) rings.push(openRing(c, fields.id, cpu, pageLen));
    const events = {
      fds: rings.map(({ fd }) => fd),
      hasSome: () => rings.some(hasSome),
      drain: () => drain(rings, fields),
      unmap,
    };
    tryOut(c, events);
    return events;
  } catch (error) {
    const fds = rings.map(({ fd }) => fd);
    unmap();
    for (const fd of fds) c.close(fd);
    throw error;
  }
}

/** The form of an event is the kernel's to say. */
function readFields(): Fields {
  for (const at of TRACEFS) {
    try {
      const text = readFileSync(`${at}/${EVENT}/format`, 'latin1');
      const offset = (name: string): number =>
        Number(new RegExp(`\\b${name};\\s*offset:(\\d+);`).exec(text)?.[1]);
      const id = Number(/^ID: (\d+)$/m.exec(text)?.[1]);
      const [socket, newState, port] = [offset('skaddr'), offset('newstate'), offset('sport')];
      if ([id, socket, newState, port].every((one) => Number.isInteger(one))) {
        return { id, socket, newState, port };
      }
    } catch {
      // not there, or not for us
    }
  }
  throw new Error(`there is no ${EVENT} in tracefs`);
}

/** `0-3,5`. */
function cpus(): readonly number[] {
  const text = readFileSync('/sys/devices/system/cpu/online', 'latin1').trim();
  const all = text.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  if (all.length > CPUS_MAX) throw new Error(`there are more than ${CPUS_MAX} processors`);
  return all;
}

function openRing(c: Libc, id: number, cpu: number, pageLen: number): Ring {
  const attr = new DataView(new ArrayBuffer(ATTR_LEN));
  attr.setUint32(0, PERF_TYPE_TRACEPOINT, true);
  attr.setUint32(4, ATTR_LEN, true);
  attr.setBigUint64(8, BigInt(id), true);
  attr.setBigUint64(16, 1n, true); // each
  attr.setBigUint64(24, BigInt(PERF_SAMPLE_TIME_RAW), true);
  attr.setBigUint64(40, BigInt(DISABLED | USE_CLOCKID), true);
  attr.setUint32(48, 1, true); // readable with the first
  attr.setInt32(CLOCKID, CLOCK_MONOTONIC, true);
  const bytes = new Uint8Array(attr.buffer);
  const number = PERF_EVENT_OPEN[process.arch] ?? -1;
  const fd = c.syscall(number, c.address(bytes), -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
  if (fd < 0) throw new PosixError('cannot open events of sockets', c.errno());
  const dataLen = DATA_PAGES * pageLen;
  const filter = Buffer.from(FILTER, 'latin1');
  const isFiltered = c.ioctl(fd, IOC_SET_FILTER, filter) === 0;
  const prot = PROT_READ | PROT_WRITE;
  const address = isFiltered ? c.mmap(0, pageLen + dataLen, prot, MAP_SHARED, fd, 0) : -1;
  if (address === -1 || c.ioctlValue(fd, IOC_ENABLE, 0) !== 0 || bytes.length === 0) {
    const error = new PosixError('cannot read events of sockets', c.errno());
    if (address !== -1) c.munmap(address, pageLen + dataLen);
    c.close(fd);
    throw error;
  }
  return {
    fd,
    address,
    control: new BigUint64Array(c.view(address, pageLen)),
    data: new DataView(c.view(address + pageLen, dataLen)),
  };
}

const hasSome = ({ control }: Ring): boolean =>
  Atomics.load(control, HEAD / 8) !== Atomics.load(control, TAIL / 8);

/** Events of a processor are in order; those of several are brought into it. */
function drain(
  rings: readonly Ring[],
  fields: Fields,
): { events: readonly ListenEvent[]; isWhole: boolean } {
  const timed: Timed[] = [];
  let isWhole = true;
  for (const { control, data } of rings) {
    const head = Atomics.load(control, HEAD / 8);
    let tail = Atomics.load(control, TAIL / 8);
    if (head === tail) continue;
    const mask = data.byteLength - 1;
    // What is lost is said by the record that comes next, if there is one.
    if (head - tail > BigInt(data.byteLength - RECORD_ROOM)) isWhole = false;
    while (tail < head) {
      const at = Number(tail & BigInt(mask));
      const type = data.getUint32(at, true);
      const len = data.getUint16(at + 6, true);
      if (type === RECORD_SAMPLE) timed.push(eventAt(data, at, mask, fields));
      else if (type === RECORD_LOST) isWhole = false;
      tail += BigInt(Math.max(len, HEADER_LEN));
    }
    Atomics.store(control, TAIL / 8, head);
  }
  if (rings.length > 1) timed.sort((one, other) => one.at - other.at);
  const now = timed.length === 0 ? 0 : Number(process.hrtime.bigint());
  const events = timed.map(({ kind, socket, port, at }) => {
    return { kind, socket, port, ageMs: Math.max((now - at) / NS_OF_MS, 0) };
  });
  return { events, isWhole };
}

/** Records are aligned to 8 bytes, and may go over the end of the ring; a word of 4 bytes never does. */
function eventAt(data: DataView, at: number, mask: number, fields: Fields): Timed {
  const word = (off: number): number => data.getUint32((at + off) & mask, true);
  const raw = (off: number): number => word(RAW + (off & ~3)) >>> (8 * (off & 3));
  // Addresses of the kernel differ in their last 48 bits.
  const socket = (raw(fields.socket + 4) & 0xffff) * WORD + raw(fields.socket);
  return {
    at: word(TIME + 4) * WORD + word(TIME),
    kind: raw(fields.newState) === LISTEN ? 'begun' : 'ended',
    socket,
    port: raw(fields.port) & 0xffff,
  };
}

/** @throws PosixError, Error */
function tryOut(c: Libc, events: Pick<ListenEvents, 'drain'>): void {
  const fd = c.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const errno = fd >= 0 && c.listen(fd, 1) === 0 ? 0 : c.errno();
  if (fd >= 0) c.close(fd);
  if (errno !== 0) throw new PosixError('cannot try events of sockets', errno);
  const kinds = events.drain().events.map(({ kind }) => kind);
  if (!kinds.includes('begun') || !kinds.includes('ended')) {
    throw new Error('the kernel says nothing of a socket that listens');
  }
}
