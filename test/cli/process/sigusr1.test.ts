/** SIGUSR1, to which Node's own answer is a debugger on the loopback: in every program. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DAEMON, FIRST_START, MAIN } from '../../../src/cli/boot/program-for.ts';
import { freePort } from '../../support/free-port.ts';
import { type Program, Workplace } from './hawser.ts';

const DIST = fileURLToPath(new URL('../../../', import.meta.url));
/** Loaded by `hawser.js`, which has taken the signal. */
const LOADED = [
  ...[MAIN, DAEMON, FIRST_START].map((name) => `${name}.js`),
  'ssh-client.js',
  'cli-progress.js',
  'cli-table3.js',
  'pino-pretty.js',
  'prom-client.js',
  're2js.js',
  'tldts.js',
  'ws.js',
  'yaml.js',
];
const programs = [
  ...readdirSync(join(DIST, 'bin'))
    .filter((name) => name.endsWith('.js') && !LOADED.includes(name))
    .map((name) => join(DIST, 'bin', name)),
  join(DIST, 'hawser-agent.mjs'),
];

describe('SIGUSR1', () => {
  for (const program of programs) {
    it(`the first statement of ${basename(program)} takes it`, () => {
      const lines = readFileSync(program, 'utf8')
        .split('\n')
        .filter((line) => !line.startsWith('#!') && !/^"use strict";?$/.test(line));
      assert.match(lines[0] ?? '', /^process\.on\('SIGUSR1', \(\) => \{\}\);/);
    });
  }

  it('opens no debugger in the daemon, the agent, docker-proxy and a short command', async () => {
    const place = new Workplace();
    const silent = createServer().listen(place.path('silent.sock'));
    const api = place.path('a.sock');
    try {
      const agent = place.hawser(['agent', '--listen', `unix:${place.path('agent.sock')}`]);
      await agent.says(/agent ready/);
      const daemon = await place.daemon(['--api', `unix:${api}`]);
      const status = place.hawser(['status', '--api', `unix:${place.path('silent.sock')}`]);
      await new Promise((resolve) => silent.once('connection', resolve));
      const proxy = place.start(process.execPath, [
        join(DIST, 'bin', 'docker-proxy.js'),
        ...['-proto', 'tcp', '-host-ip', '127.0.0.1', '-host-port', `${await freePort()}`],
        ...['-container-ip', '172.17.0.2', '-container-port', '80'],
        ...['-control', `unix:${place.path('silent.sock')}`],
      ]);
      await new Promise((resolve) => silent.once('connection', resolve));
      const all: Program[] = [agent, daemon, status, proxy];
      for (const { child } of all) child.kill('SIGUSR1');
      for (const { child } of [agent, daemon]) child.kill('SIGTERM');
      assert.equal((await agent.ended).status, 0);
      assert.equal((await daemon.ended).status, 0);
      for (const { child } of all) child.kill('SIGKILL');
      for (const { ended } of all) await ended;
      for (const { stderr } of all) assert.doesNotMatch(stderr, /Debugger listening/);
    } finally {
      silent.close();
      await place.close();
    }
  });

  it('a debugger that is open before the first statement is closed, and again, unless it was asked for', async () => {
    const place = new Workplace();
    const early = place.path('early.cjs');
    writeFileSync(
      early,
      `const inspector = require('node:inspector');
      inspector.open(0, '127.0.0.1');
      const again = setInterval(() => {
        if (inspector.url() !== undefined) return;
        clearInterval(again);
        inspector.open(0, '127.0.0.1');
      }, 1);`,
    );
    const at = /ws:\/\/127\.0\.0\.1:(\d+)/;
    try {
      const api = (name: string): string[] => ['--api', `unix:${place.path(name)}`];
      const daemon = await place.daemon(['--sandbox', 'off', ...api('a.sock')], {
        env: { NODE_OPTIONS: `--require=${early}` },
      });
      await daemon.says(/a debugger was open.*a debugger was open/s);
      const opened = [...daemon.stderr.matchAll(new RegExp(at, 'g'))];
      assert.equal(opened.length, 2);
      for (const [, port] of opened) {
        await assert.rejects(fetch(`http://127.0.0.1:${port}/json/list`));
      }
      const asked = await place.daemon(['--sandbox', 'off', '--name', 'asked', ...api('b.sock')], {
        env: { NODE_OPTIONS: '--inspect=127.0.0.1:0' },
      });
      const open = Number((await asked.says(at))[1]);
      assert.equal((await fetch(`http://127.0.0.1:${open}/json/list`)).status, 200);
    } finally {
      await place.close();
    }
  });

  it('SIGHUP is taken by the first statements of what stays', () => {
    const first = (name: string): string => readFileSync(join(DIST, name), 'utf8').slice(0, 400);
    assert.match(first('hawser-agent.mjs'), /process\.on\('SIGHUP', \(\) => \{\}\);/);
    const some =
      /if \(\['run', 'agent', 'usernet'\]\.includes\(process\.argv\[2\]\)\) process\.on\('SIGHUP'/;
    assert.match(first('bin/hawser.js'), some);
    for (const dropIn of ['gvproxy', 'slirp4netns', 'vpnkit']) {
      assert.match(
        first(`bin/hawser-${dropIn}.js`),
        /^[^;]*; process\.on\('SIGHUP', \(\) => \{\}\);/m,
      );
    }
  });

  it('SIGHUP does not end the agent', async () => {
    const place = new Workplace();
    try {
      const agent = place.hawser(['agent', '--listen', `unix:${place.path('d/agent.sock')}`]);
      await agent.says(/agent ready/);
      agent.child.kill('SIGHUP');
      await agent.says(/SIGHUP: there is nothing to read again/);
      agent.child.kill('SIGTERM');
      assert.deepEqual(await agent.ended, { status: 0, signal: null });
      assert.deepEqual(readdirSync(place.dir), []);
    } finally {
      await place.close();
    }
  });

  it('SIGQUIT and SIGUSR2 end the agent in order', async () => {
    const place = new Workplace();
    try {
      for (const signal of ['SIGQUIT', 'SIGUSR2'] as const) {
        const agent = place.hawser(['agent', '--listen', `unix:${place.path('d/agent.sock')}`]);
        await agent.says(/agent ready/);
        agent.child.kill(signal);
        assert.deepEqual(await agent.ended, { status: 0, signal: null });
        assert.deepEqual(readdirSync(place.dir), []);
      }
    } finally {
      await place.close();
    }
  });
});
