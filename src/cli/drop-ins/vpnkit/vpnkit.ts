/** `hawser-vpnkit`: the command line of vpnkit, for RootlessKit, hyperkit's launchers and dockerd-rootless.sh. */
import { existsSync } from 'node:fs';
import type { GatewayForward } from '../../../network/gateway-forwards.ts';
import { printOutput } from '../../output.ts';
import type { DropIn, Plan } from '../drop-in.ts';
import { named } from '../named.ts';
import { hasOwnApi, standIn } from '../own-api.ts';
import { ownProxy } from '../own-proxy.ts';
import { parseVpnkitArguments, type VpnkitRequest } from './arguments.ts';
import { VPNKIT_HELP } from './help.ts';
import { planVpnkit, type VpnkitPaths } from './plan.ts';

/** What is served beside the network. */
export interface VpnkitDialect {
  readonly paths: VpnkitPaths;
  readonly snapLen: number;
  readonly httpFile: string | undefined;
  readonly forwards: readonly GatewayForward[];
  /** Beside them, followed live. */
  readonly forwardsFile: string | undefined;
  /** Of connections that lead through Unix sockets, followed live. */
  readonly tunnelsFile: string | undefined;
  readonly bindAddresses: readonly string[];
  /** Descriptors that listen already. */
  readonly listening: readonly number[];
  readonly withoutEffect: readonly string[];
}

export const VPNKIT: DropIn<VpnkitDialect> = {
  name: 'hawser-vpnkit',
  plan: async (argv) => {
    const parsed = parseVpnkitArguments(argv);
    switch (parsed.kind) {
      case 'help':
        printOutput(VPNKIT_HELP);
        return 0;
      case 'version': {
        const { packageVersion } = await import('../../../network/version.ts');
        printOutput(`${packageVersion()}\n`);
        return 0;
      }
      case 'bad':
        process.stderr.write(`hawser-vpnkit: ${parsed.problem}\n`);
        return 1;
      case 'run':
        return await planRun(parsed.request);
    }
  },
  sockets: ({ paths: { apis, diagnostics, captures, httpApi } }) => [
    ...apis,
    ...diagnostics,
    ...captures,
    ...(httpApi === undefined ? [] : [httpApi]),
  ],
  serve: async (dialect, network, daemon) => {
    if (dialect.listening.length > 0) {
      const { adoptListener } = await import('../../../native/inherited-listeners.ts');
      for (const fd of dialect.listening) adoptListener(fd);
    }
    for (const why of dialect.withoutEffect) daemon.log.warn({}, `without effect: ${why}`);
    if (dialect.forwards.length > 0 || dialect.forwardsFile !== undefined) {
      const { serveForwards } = await import('./gateway-forwards.ts');
      await serveForwards(dialect, network, daemon);
    }
    if (dialect.tunnelsFile !== undefined) {
      const { serveTunnels } = await import('./tunnels.ts');
      await serveTunnels(dialect.tunnelsFile, network, daemon);
    }
    const { httpFile } = dialect;
    const { apis, diagnostics, captures, httpApi } = dialect.paths;
    if (httpFile !== undefined || httpApi !== undefined) {
      const { HttpProxies } = await import('./http-proxy.ts');
      const proxies = new HttpProxies(network.view.proxy, daemon);
      if (httpFile !== undefined) await proxies.follow(httpFile);
      if (httpApi !== undefined) {
        await named(`--http-api-path ${httpApi}`, proxies.serve(httpApi));
      }
    }
    for (const path of apis) {
      daemon.makeDirectoriesFor(path);
      const onShutdown = (): void => daemon.stop('the control API asked for it');
      const bind = dialect.bindAddresses.map(bindRule);
      const serving = network.serveApi({ address: `unix:${path}`, bind, onShutdown });
      daemon.add(await named(`--port ${path}`, serving));
      daemon.own(path);
    }
    if (diagnostics.length > 0) {
      const { serveDiagnostics } = await import('./diagnostics.ts');
      await serveDiagnostics(diagnostics, network.view, daemon);
    }
    if (captures.length > 0) {
      const { serveCaptures } = await import('./captures.ts');
      await serveCaptures(captures, dialect.snapLen, network, daemon);
    }
  },
};

/** Of any address, the rule is for IPv6 too. */
const bindRule = (address: string): string => `${address === '0.0.0.0' ? '*' : address}:1-65535`;

async function planRun(request: VpnkitRequest): Promise<Plan<VpnkitDialect>> {
  const [{ buildConfig }, { realPlace }, { listenerPath }, files] = await Promise.all([
    import('../../config.ts'),
    import('../../runtime-dir.ts'),
    import('../../../native/inherited-listeners.ts'),
    import('./files.ts'),
  ]);
  const { dhcpFile, forwards, forwardsFile, tunnelsFile, hostsFile } = request;
  const { allowedBindAddresses, snapLen, httpFile } = request;
  if (forwardsFile !== undefined) files.readForwards(forwardsFile);
  if (tunnelsFile !== undefined) files.readTunnels(tunnelsFile);
  const isThere = hostsFile !== undefined && existsSync(hostsFile);
  const { options, words, paths } = planVpnkit(
    isThere ? request : { ...request, hostsFile: undefined },
    dhcpFile === undefined ? {} : files.readDhcpFile(dhcpFile),
    { pid: process.pid, listenerPath },
  );
  const { ethernet, ports, diagnostics, captures, httpApi } = request;
  const places = [ethernet, ...ports, ...diagnostics, ...captures, ...(httpApi ? [httpApi] : [])];
  const listening = places.flatMap((place) => (place.kind === 'fd' ? [place.fd] : []));
  const own = ownProxy(process.env);
  const given = standIn({ ...words, ...own.words }, hasOwnApi(process.env));
  return {
    options: buildConfig({ ...options, ...own.options }, undefined, realPlace(), given),
    dialect: {
      paths,
      snapLen,
      httpFile,
      forwards,
      forwardsFile,
      tunnelsFile,
      bindAddresses: allowedBindAddresses,
      listening,
      withoutEffect: request.withoutEffect,
    },
    kept: {
      descriptors: listening,
      files: [forwardsFile, tunnelsFile, httpFile].filter((path) => path !== undefined),
    },
  };
}
