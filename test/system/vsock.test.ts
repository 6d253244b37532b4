/** The vsock of a virtual machine, which has no other device, served by us to QEMU. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../src/base/log.ts';
import { loadPosix } from '../../src/native/load.ts';
import { NO_FLUSH } from '../../src/proxy/flush-scheduler.ts';
import { ByteDuplex } from '../../src/proxy/stream/byte-duplex.ts';
import { NodeClock } from '../../src/transports/node-clock.ts';
import { VhostVsock } from '../../src/transports/vsock/open-vhost-vsock.ts';
import { systemSuite } from '../support/requirements.ts';
import { until } from './support/until.ts';
import { VsockVm, vsockGuest } from './support/vsock-vm.ts';

/** Ports of the host. */
const READY = 2000;
const ECHO = 2001;
const SUM = 2002;
const RESET = 2003;
const NOBODY = 2004;
/** Ports of `vsock-guest serve`. */
const GUEST_ECHO = 1000;
const GUEST_SUM = 1001;
const GUEST_SOURCE = 1002;
const GUEST_SLOW = 1004;
const GUEST_STUCK = 1005;
const GUEST_NOBODY = 1006;

const MIB64 = 64 << 20;
const MANY = 300;
const ECONNRESET = 104;
const EPIPE = 32;

/** The pattern of `vsock-guest.c`. */
const PERIOD = 1_048_573;
const PATTERN = Buffer.from(
  Uint8Array.from({ length: PERIOD }, (_, i) => i ^ (i >> 8) ^ (i >> 16)),
);

class Sum {
  value = 0;
  len = 0;

  add(bytes: Uint8Array): this {
    let h = this.value;
    for (const byte of bytes) h = (Math.imul(h, 31) + byte) | 0;
    this.value = h;
    this.len += bytes.length;
    return this;
  }
}

function patternSum(len: number): number {
  const sum = new Sum();
  for (let at = 0; at < len; at += PERIOD) sum.add(PATTERN.subarray(0, len - at));
  return sum.value >>> 0;
}

/** Write the pattern, waiting for room, and end. */
async function sendPattern(duplex: ByteDuplex, len: number): Promise<void> {
  for (let at = 0; at < len; at += PERIOD) {
    if (!duplex.write(PATTERN.subarray(0, len - at))) await once(duplex, 'drain');
  }
  duplex.end();
}

async function readAll(duplex: ByteDuplex): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of duplex) chunks.push(chunk);
  return Buffer.concat(chunks);
}

systemSuite('vsock by vhost-user', ['vm', 'gcc', 'koffi'], function () {
  this.timeout(180_000);
  const clock = new NodeClock();
  const context = { clock, flusher: NO_FLUSH };
  let dir = '';
  let link: VhostVsock;
  let vm: VsockVm;
  let ready = 0;
  const ups: boolean[] = [];

  const serve = (port: number, duplex: ByteDuplex): void => {
    duplex.on('error', () => undefined);
    if (port === READY) {
      ready++;
      duplex.resume().end();
    } else if (port === RESET) duplex.on('data', () => duplex.destroy());
    else if (port === SUM) {
      const sum = new Sum();
      duplex.on('data', (chunk: Uint8Array) => sum.add(chunk));
      duplex.on('end', () => {
        duplex.end(new Uint8Array(Int32Array.of(sum.value).buffer));
      });
    } else duplex.pipe(duplex);
  };

  const dial = (port: number): ByteDuplex => {
    const duplex = new ByteDuplex(context);
    const stream = link.connect(port, duplex);
    assert.ok(stream);
    return duplex.join(stream);
  };

  const boot = (): VsockVm => {
    const guest = vsockGuest();
    const steps = {
      talk: `talk ${ECHO} half-closed`,
      send: `send ${SUM} ${MIB64}`,
      many: `many ${ECHO} ${MANY}`,
      refused: `fail ${NOBODY}`,
      reset: `fail ${RESET}`,
      serve: 'serve',
    };
    return new VsockVm(
      dir,
      join(dir, 'vsock.sock'),
      Object.entries(steps).map(([name, words]) => ({ name, script: `${guest} ${words}\n` })),
      { memoryMiB: 256, files: [guest] },
    );
  };

  const step = async (name: string): Promise<Readonly<Record<string, string>>> => {
    const result = await until(`step ${name}`, () => vm.result(name), 120_000);
    assert.ok(result.ok, `${name}: ${JSON.stringify(result)}\n${vm.console.slice(-5).join('\n')}`);
    return result.words;
  };

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-vsock-'));
    link = await VhostVsock.open({
      path: join(dir, 'vsock.sock'),
      guestCid: 42,
      posix: loadPosix(),
      clock,
      log: SILENT,
      onGuest: (up) => ups.push(up),
      onRequest: (now, request) => {
        if (request.hostPort === NOBODY) return request.refuse(now);
        const duplex = new ByteDuplex(context);
        const stream = request.accept(now, duplex);
        if (stream !== undefined) serve(request.hostPort, duplex.join(stream));
      },
    });
    vm = boot();
  });

  after(async () => {
    await vm.kill();
    await link.close();
    rmSync(dir, { recursive: true });
  });

  it('the guest connects, half-closes, and reads to the end', async () => {
    await step('modules');
    assert.deepEqual(await step('talk'), { answer: 'half-closed', last: '0' });
  });

  it('the guest sends 64 MiB', async () => {
    assert.equal(Number((await step('send'))['sum']), patternSum(MIB64));
  });

  it('the guest opens many streams at once', async () => {
    assert.equal((await step('many'))['good'], String(MANY));
  });

  it('the guest is refused, and reset', async () => {
    assert.equal((await step('refused'))['connect'], String(ECONNRESET));
    const reset = await step('reset');
    // Linux reads a reset of an open stream as its end.
    assert.deepEqual([reset['read'], reset['write_errno']], ['0', String(EPIPE)]);
  });

  it('the host connects and sends 64 MiB, which are summed', async () => {
    await until('services of the guest', () => ready === 1, 60_000);
    const duplex = dial(GUEST_SUM);
    await sendPattern(duplex, MIB64);
    const answer = await readAll(duplex);
    assert.equal(Number(answer.readBigUInt64LE(0)), MIB64);
    assert.equal(answer.readUInt32LE(8), patternSum(MIB64));
  });

  it('the host receives 64 MiB', async () => {
    const duplex = dial(GUEST_SOURCE);
    duplex.end(new Uint8Array(BigUint64Array.of(BigInt(MIB64)).buffer));
    const sum = new Sum();
    for await (const chunk of duplex) sum.add(chunk);
    assert.equal(sum.len, MIB64);
    assert.equal(sum.value >>> 0, patternSum(MIB64));
  });

  it('a slow guest holds the host back, and gets everything', async () => {
    const len = 2 << 20;
    const duplex = dial(GUEST_SLOW);
    await sendPattern(duplex, len);
    assert.equal((await readAll(duplex)).readUInt32LE(8), patternSum(len));
  });

  it('a stuck guest holds back its own stream only', async () => {
    const stuck = dial(GUEST_STUCK);
    stuck.on('error', () => undefined);
    await once(stuck, 'connect');
    let taken = 0;
    for (;;) {
      const written = new Promise<boolean>((done) => {
        stuck.write(PATTERN.subarray(0, 65_536), () => done(true));
      });
      // An echo is slower than any write that goes through.
      const echo = dial(GUEST_ECHO);
      echo.end('still here');
      assert.equal((await readAll(echo)).toString(), 'still here');
      if (!(await Promise.race([written, Promise.resolve(false)]))) break;
      taken += 65_536;
    }
    assert.ok(taken >= 256 << 10 && taken <= 768 << 10, `took ${taken}`);
    stuck.destroy();
  });

  it('the host opens many streams at once, and is refused where nobody listens', async () => {
    const echoes = Array.from({ length: MANY }, async (_, i) => {
      const duplex = dial(GUEST_ECHO);
      duplex.end(`stream ${i}`);
      return (await readAll(duplex)).toString();
    });
    const answers = await Promise.all(echoes);
    assert.deepEqual(
      answers,
      Array.from({ length: MANY }, (_, i) => `stream ${i}`),
    );
    await assert.rejects(readAll(dial(GUEST_NOBODY)), { code: 'ECONNREFUSED' });
    await until('no stream to be left', () => link.stats.streamsOpen === 0);
  });

  it('QEMU is killed: streams end, and the next virtual machine is served', async () => {
    const duplex = dial(GUEST_ECHO);
    await once(duplex, 'connect');
    const failed = assert.rejects(readAll(duplex), { reason: 'link-down' });
    await vm.kill();
    await failed;
    assert.equal(link.isUp, false);
    assert.equal(link.connect(GUEST_ECHO, new ByteDuplex(context)), undefined);

    vm = boot();
    await until('services of the next guest', () => ready === 2, 120_000);
    const echo = dial(GUEST_ECHO);
    echo.end('again');
    assert.equal((await readAll(echo)).toString(), 'again');
    assert.deepEqual(ups, [true, false, true]);
    const { protocolFaults, queueFaults, connectionsRefused } = link.stats;
    assert.deepEqual([protocolFaults, queueFaults, connectionsRefused], [0, 0, 0]);
  });
});
