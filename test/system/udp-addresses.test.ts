/** Published UDP on a host with several addresses: real clients with connected sockets ask each of them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { HOST_OUTER, HTTP_PORT, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const PORT = 18_300;
const ECHO_PORT = HTTP_PORT + 5;
const SECOND = '198.18.0.11';
const LATER = '198.18.0.12';
const V6 = ['fd18::10', 'fd18::11'] as const;

/** Loaded before the daemon: koffi cannot be found. */
const NO_KOFFI = `
const Module = require('node:module');
const resolve = Module._resolveFilename;
Module._resolveFilename = function (name, ...rest) {
  if (name === 'koffi') throw Object.assign(new Error('no koffi'), { code: 'MODULE_NOT_FOUND' });
  return resolve.call(this, name, ...rest);
};
`;

for (const native of [true, false]) {
  const name = `UDP ports on a host with several addresses, ${native ? 'with' : 'without'} koffi`;
  systemSuite(name, [...LAB, 'gcc', 'nc'], function () {
    this.timeout(60_000);
    let lab: Lab;
    let daemon: Daemon;

    /** netcat's UDP socket is connected. @returns what came back */
    const ask = (address: string, text: string): Promise<string> =>
      lab.outside.run('sh', '-c', `printf '${text}' | nc -u -w 1 ${address} ${PORT}`);
    const ip = (where: 'host' | 'outside', ...args: string[]): Promise<string> =>
      lab[where].run('ip', ...args, 'dev', 'up0');

    before(async () => {
      lab = await Lab.open();
      await ip('host', 'addr', 'add', `${SECOND}/24`);
      for (const address of V6) await ip('host', 'addr', 'add', `${address}/64`, 'nodad');
      await ip('outside', 'addr', 'add', 'fd18::1/64', 'nodad');
      const socket = lab.path('qemu.sock');
      const guest = await lab.addGuest({ bridgeTo: socket });
      const preload = lab.path('no-koffi.cjs');
      writeFileSync(preload, NO_KOFFI);
      const { NODE_OPTIONS } = process.env;
      if (!native) process.env['NODE_OPTIONS'] = `--require=${preload}`;
      const spawned = lab.spawnDaemon([
        ...['--listen', `qemu:${socket}`],
        ...['-p', `*:${PORT}:${ECHO_PORT}/udp`],
        ...(native ? [] : ['--sandbox', 'off']), // it needs koffi
      ]);
      if (NODE_OPTIONS === undefined) delete process.env['NODE_OPTIONS'];
      else process.env['NODE_OPTIONS'] = NODE_OPTIONS;
      daemon = spawned;
      await daemon.ready();
      await guest.plug();
      await guest.lease();
      await lab.startServers(guest);
      await until('the echo server', async () => (await ask(HOST_OUTER, 'first')) === 'first');
    });
    after(() => lab.close());
    afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

    for (const address of [HOST_OUTER, SECOND, ...V6]) {
      it(`${address} answers as ${address}`, async () => {
        assert.equal(await ask(address, `to ${address}`), `to ${address}`);
      });
    }

    it('an address that comes answers too; the others still do', async () => {
      await ip('host', 'addr', 'add', `${LATER}/24`);
      await until('an answer', async () => (await ask(LATER, 'later')) === 'later');
      await ip('host', 'addr', 'del', `${SECOND}/24`);
      assert.equal(await ask(HOST_OUTER, 'still'), 'still');
    });
  });
}
