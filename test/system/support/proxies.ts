/** Proxies of the distribution, each with a configuration of its own, as processes of a lab. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { BehindProxy, LabFamilies } from './behind-proxy.ts';
import { OUTSIDE6 } from './ipv6.ts';
import { type Lab, type Namespace, OUTSIDE } from './lab.ts';
import type { Background } from './processes.ts';
import { until } from './until.ts';

export const SQUID_PORT = 3128;
export const TINYPROXY_PORT = 8888;
export const DANTE_PORT = 1080;

const listens = async (where: Namespace, port: number): Promise<void> => {
  await until(`a listener at ${port}`, async () =>
    (await where.run('ss', '-Hltn')).includes(`:${port} `) ? true : undefined,
  );
};

export interface Squid {
  readonly process: Background;
  /** What it has logged since it was asked last. */
  log(): string;
  /** Wait until it has logged this since then: a tunnel is, when it ends. */
  logged(pattern: RegExp): Promise<void>;
}

/** @param more lines in front of those that allow everything else */
export async function startSquid(
  lab: Lab,
  where: Namespace,
  more: readonly string[] = [],
): Promise<Squid> {
  const dir = lab.path('squid');
  mkdirSync(dir, { recursive: true });
  chmodSync(lab.dir, 0o711);
  chmodSync(dir, 0o777); // it runs as a user of its own
  const [path, log] = [`${dir}/squid.conf`, `${dir}/access.log`];
  writeFileSync(
    path,
    [
      ...[`http_port ${SQUID_PORT}`, 'cache deny all', 'shutdown_lifetime 0 seconds'],
      ...['pid_filename none', `cache_log ${dir}/cache.log`, `access_log stdio:${log}`],
      ...['logfile_rotate 0', 'pinger_enable off', 'netdb_filename none', 'cache_mem 8 MB'],
      ...[`dns_nameservers ${OUTSIDE}`, 'via off', 'strip_query_terms off', `coredump_dir ${dir}`],
      ...more,
      ...['http_access allow all', ''],
    ].join('\n'),
  );
  const argv = ['squid', '-N', '-f', path];
  // Its shared memory has names of the whole machine.
  const run = 'mount -t tmpfs none /dev/shm && exec "$0" "$@"';
  const process = where.start(['unshare', '-m', 'sh', '-c', run, ...argv]);
  await listens(where, SQUID_PORT);
  let seen = 0;
  const fresh = (): string => readFileSync(log, 'utf8').slice(seen);
  return {
    process,
    log: () => {
      const lines = fresh();
      seen += lines.length;
      return lines;
    },
    logged: async (pattern) => {
      await until(`squid to log ${pattern}`, () => pattern.test(fresh()));
      seen += fresh().length;
    },
  };
}

export async function startTinyproxy(
  { lab }: BehindProxy,
  enter: (argv: readonly string[]) => readonly string[],
  more: readonly string[] = [],
): Promise<Background> {
  const path = lab.path('tinyproxy.conf');
  writeFileSync(
    path,
    [`Port ${TINYPROXY_PORT}`, 'Timeout 60', 'LogLevel Info', 'MaxClients 100', ...more, ''].join(
      '\n',
    ),
  );
  const proxy = lab.outside.start(enter(['tinyproxy', '-d', '-c', path]));
  await listens(lab.outside, TINYPROXY_PORT);
  return proxy;
}

export interface DanteOptions extends LabFamilies {
  /** It wants the password of a user of its system. */
  readonly hasPassword?: boolean;
}

/** It serves the families of the lab, at an address of each. */
export async function startDante(
  { lab }: BehindProxy,
  enter: (argv: readonly string[]) => readonly string[],
  { hasIpv6 = false, hasPassword = false }: DanteOptions = {},
): Promise<Background> {
  const path = lab.path('danted.conf');
  const all = hasIpv6 ? 'from: 0/0 to: 0/0' : 'from: 0.0.0.0/0 to: 0.0.0.0/0';
  writeFileSync(
    path,
    [
      ...['logoutput: stdout', `internal: ${OUTSIDE} port = ${DANTE_PORT}`, 'external: up0'],
      ...(hasIpv6 ? [`internal: ${OUTSIDE6} port = ${DANTE_PORT}`] : []),
      ...['external: lo', 'external.rotation: route', 'clientmethod: none'],
      ...[`socksmethod: ${hasPassword ? 'username' : 'none'}`],
      ...['user.privileged: root', 'user.unprivileged: root'],
      ...[`client pass { ${all} }`, `socks pass { ${all} log: connect error }`, ''],
    ].join('\n'),
  );
  const dante = lab.outside.start(enter(['danted', '-f', path]));
  await listens(lab.outside, DANTE_PORT);
  return dante;
}
