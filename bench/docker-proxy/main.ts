/**
 * How long dockerd waits for `hawser-docker-proxy`, from the start of a process to "0\n" on descriptor 3, and the memory
 * that the proxies of so many ports share (PSS of the proxies and of their broker), against a real daemon on this machine.
 * Ports go through the agent's way, which needs no guest to be published; the guest's own listener is left out
 * where dockerd does not make it, since host and guest are one here. With `-use-listen-fd` it is a socket on 127.0.0.2.
 *
 *     npm run bench:docker-proxy
 *
 * As an ordinary user it measures what a rootless dockerd has:
 *
 *     unshare --user --map-root-user --net sh -c 'ip link set lo up; node dist/bench/docker-proxy/main.js'
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ENVIRONMENT } from '../rig/environment.ts';

const STARTS = 20;
const PORTS = 400;
/** The first of all starts the broker. */
const COUNTS = [
  [1, "shell, with the broker's start"],
  [1, 'shell and broker'],
  [100, 'shell and broker'],
  [400, 'shell and broker'],
] as const;
const MIB = 1024;
const FIRST_PORT = 20_000;
const STATUS_FD = 3;
const bin = (name: string): string => fileURLToPath(new URL(`../../bin/${name}`, import.meta.url));
const NODE = [process.execPath, bin('docker-proxy.js')];
const SHELL = [resolve('src/cli/docker-proxy/hawser-docker-proxy.sh')];

const dir = mkdtempSync(join(tmpdir(), 'hawser-bench-'));
const env = {
  ...ENVIRONMENT,
  XDG_RUNTIME_DIR: dir,
  HAWSER_CONTROL: `agent:${dir}/hawser/default/api.sock`,
  HAWSER_DOCKER_PROXY_MAIN: bin('docker-proxy.js'),
  HAWSER_LOCAL: 'always',
};
const running: ChildProcess[] = [];
let nextPort = FIRST_PORT;

/** Start a process and read its descriptor 3 once. */
async function start(argv: readonly string[], fd?: number): Promise<string> {
  const [file = '', ...args] = argv;
  const stdio = ['ignore', 'ignore', 'ignore', 'pipe', fd ?? 'ignore'] as const;
  const child = spawn(file, args, { env, stdio: [...stdio] });
  running.push(child);
  const pipe = child.stdio[STATUS_FD];
  if (pipe === null || pipe === undefined) throw new Error('no descriptor 3');
  const [said] = await once(pipe, 'data');
  return String(said);
}

/** @returns ms until the port is served */
async function proxy(program: readonly string[]): Promise<number> {
  const port = nextPort++;
  const before = performance.now();
  const said = await start([
    ...program,
    ...['-proto', 'tcp', '-host-ip', '0.0.0.0', '-host-port', `${port}`],
    ...['-container-ip', '172.17.0.2', '-container-port', '80', '-local', 'never'],
  ]);
  if (said !== '0\n') throw new Error(`port ${port}: ${said}`);
  return performance.now() - before;
}

/** The same with a socket that listens already. @returns ms until the port is served */
async function listeningProxy(program: readonly string[]): Promise<number> {
  const port = nextPort++;
  const listener: Server = createServer().listen(port, '127.0.0.2');
  await once(listener, 'listening');
  const fd: unknown = Reflect.get(Object(Reflect.get(listener, '_handle')), 'fd');
  if (typeof fd !== 'number') throw new Error('the listener has no descriptor');
  const before = performance.now();
  const said = await start(
    [
      ...program,
      ...['-proto', 'tcp', '-host-ip', '127.0.0.1', '-host-port', `${port}`],
      ...['-container-ip', '172.17.0.2', '-container-port', '80', '-use-listen-fd'],
    ],
    fd,
  );
  const tookMs = performance.now() - before;
  listener.close();
  if (said !== '0\n') throw new Error(`port ${port}: ${said}`);
  return tookMs;
}

/** In KiB. */
function memory(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]);
}

/** The process that serves the ports of this one's proxies, if there is one. */
function brokers(): number[] {
  const path = join(dir, 'hawser', `docker-proxy-${process.pid}`, 'broker');
  return existsSync(path) ? [Number(readFileSync(path, 'utf8'))] : [];
}

async function listening(what: string, program: readonly string[], count: number): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) times.push(await listeningProxy(program));
  const pids = [...running.map(({ pid }) => pid ?? 0), ...brokers()];
  const mib = pids.reduce((sum, pid) => sum + memory(pid), 0) / MIB;
  say(`-use-listen-fd, ${count} ports, ${what}: ${mib.toFixed(0)} MiB in all, start`, times);
  await stopAll();
}

async function stopAll(): Promise<void> {
  await Promise.all(
    running.splice(0).map(async (child) => {
      child.kill('SIGINT');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }),
  );
}

async function inTurn(program: readonly string[], count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) times.push(await proxy(program));
  return times;
}

function say(what: string, times: readonly number[]): void {
  const sorted = times.toSorted((a, b) => a - b);
  const p50 = sorted[sorted.length >> 1] ?? 0;
  const worst = sorted.at(-1) ?? 0;
  process.stdout.write(`${what}: p50 ${p50.toFixed(0)} ms, worst ${worst.toFixed(0)} ms\n`);
}

async function timed(what: string, act: () => Promise<unknown>): Promise<void> {
  const before = performance.now();
  await act();
  process.stdout.write(`${what}: ${((performance.now() - before) / 1000).toFixed(2)} s\n`);
  await stopAll();
}

try {
  const links = ['--listen', `qemu:${dir}/qemu.sock`, '--mux', `unix:${dir}/mux.sock`];
  const ready = ['--ready-fd', `${STATUS_FD}`, '--log-level', 'warn'];
  await start([process.execPath, bin('hawser.js'), 'run', ...links, ...ready]);
  const [daemon] = running.splice(0);

  say(`${STARTS} starts of Node for one port each`, await inTurn(NODE, STARTS));
  await stopAll();
  for (const [count, what] of COUNTS) await listening(what, SHELL, count);
  await listening('a Node for each', NODE, STARTS);
  say(`${STARTS} starts of the shell`, await inTurn(SHELL, STARTS));
  await stopAll();
  await timed(`${PORTS} ports, one after another, as dockerd starts them`, () =>
    inTurn(SHELL, PORTS),
  );
  await timed(`${PORTS} ports at once`, () =>
    Promise.all(Array.from({ length: PORTS }, () => proxy(SHELL))),
  );
  if (daemon !== undefined) running.push(daemon);
} finally {
  await stopAll();
  rmSync(dir, { recursive: true, force: true });
}
