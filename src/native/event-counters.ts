/**
 * See `EventCounters`. A read that does not wait, whatever the counter's flags, is preadv2(2) with RWF_NOWAIT. There is no
 * such write; but the kernel itself adds to a counter without waiting when an asynchronous request (io_submit(2)) that
 * names one is complete. So to signal is to submit a write of nothing to /dev/null.
 *
 * Where one of these is missing (before Linux 5.8, without CONFIG_AIO, by a filter of system calls) it is a read or write
 * after the counter was made non-blocking: the other process can win a race against that.
 */
import { makeSlab, type Slab } from '../base/slab.ts';
import * as n from './constants.ts';
import type { Libc } from './libc.ts';
import type { EventCounters } from './posix.ts';

const COUNTER_LEN = 8;
const RWF_NOWAIT = 8;
/** Requests complete at once; their events are collected when so many are waiting. */
const EVENTS = 64;
const EVENT_LEN = 32;

// `struct iocb` (linux/aio_abi.h)
const OPCODE = 16;
const FILDES = 20;
const BUF = 24;
const FLAGS = 56;
const RESFD = 60;
const IOCB_CMD_PWRITE = 1;
const IOCB_FLAG_RESFD = 1;

export class LinuxEventCounters implements EventCounters {
  private readonly c: Libc;
  // Above 64 bytes each, so that they never move.
  private readonly counter = new Uint8Array(80);
  private readonly one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
  private readonly iov: Slab = makeSlab(80);
  private readonly iovAt: number;
  private readonly request: Slab = makeSlab(80);
  private readonly list: Slab = makeSlab(80);
  private readonly listAt: number;
  private readonly events = new Uint8Array(EVENTS * EVENT_LEN);
  private readonly eventsAt: number;
  /** 0 where there are no asynchronous requests. */
  private context = 0;
  private waiting = 0;

  constructor(c: Libc) {
    this.c = c;
    this.iovAt = Number(c.address(this.iov.bytes));
    this.iov.view.setBigUint64(0, c.address(this.counter), true);
    this.iov.view.setBigUint64(8, BigInt(COUNTER_LEN), true);
    this.listAt = Number(c.address(this.list.bytes));
    this.list.view.setBigUint64(0, c.address(this.request.bytes), true);
    this.eventsAt = Number(c.address(this.events));
    this.setUp();
  }

  take(fd: number): number {
    const len = this.c.preadv2(fd, this.iovAt, 1, RWF_NOWAIT);
    if (len >= 0) return len;
    const errno = this.c.errno();
    if (errno !== n.ENOSYS && errno !== n.EOPNOTSUPP) return -errno;
    this.c.fcntl(fd, n.F_SETFL, n.O_NONBLOCK); // before Linux 5.8
    const read = this.c.read(fd, this.counter, COUNTER_LEN);
    return read < 0 ? -this.c.errno() : read;
  }

  signal(fd: number): number {
    if (this.context === 0) return this.write(fd);
    if (this.waiting === EVENTS) {
      this.c.ioGetEvents(this.context, EVENTS, this.eventsAt);
      this.waiting = 0;
    }
    this.request.view.setUint32(RESFD, fd, true);
    if (this.c.ioSubmit(this.context, 1, this.listAt) === 1) {
      this.waiting++;
      return 0;
    }
    const errno = this.c.errno();
    if (errno !== n.ENOSYS && errno !== n.EPERM) return -errno;
    this.context = 0; // a filter forbids it from now on
    return this.write(fd);
  }

  private setUp(): void {
    const { c, request } = this;
    const sink = c.open('/dev/null', n.O_RDWR | n.O_CLOEXEC);
    if (sink < 0) return;
    if (c.ioSetup(2 * EVENTS, Number(c.address(this.events))) < 0) {
      c.close(sink);
      return;
    }
    this.context = Number(new DataView(this.events.buffer).getBigUint64(0, true));
    request.view.setUint16(OPCODE, IOCB_CMD_PWRITE, true);
    request.view.setUint32(FILDES, sink, true);
    request.view.setBigUint64(BUF, c.address(this.counter), true);
    request.view.setUint32(FLAGS, IOCB_FLAG_RESFD, true);
  }

  private write(fd: number): number {
    this.c.fcntl(fd, n.F_SETFL, n.O_NONBLOCK);
    return this.c.write(fd, this.one, COUNTER_LEN) < 0 ? -this.c.errno() : 0;
  }
}
