/** `hawser usernet`: the daemon of Lima's network `user-v2`, which is a command of Lima's own otherwise. */
import { absolute } from '../../../native/current-directory.ts';
import { printOutput } from '../../output.ts';
import { realPlace } from '../../runtime-dir.ts';
import type { DropIn, Plan } from '../drop-in.ts';
import { named } from '../named.ts';
import { parseUsernetArguments, USERNET_HELP } from './usernet-arguments.ts';
import { usernetConfig } from './usernet-config.ts';

/** What is served beside the network. */
export interface UsernetDialect {
  readonly endpoint: string;
  readonly name: string;
  readonly gateway: string;
}

export const USERNET: DropIn<UsernetDialect> = {
  name: 'hawser usernet',
  plan: (argv) => Promise.resolve(planOf(argv)),
  sockets: ({ endpoint }) => [endpoint],
  serve: async ({ endpoint: path, name, gateway }, network, daemon) => {
    const [{ serveApi, targetOf }, { WAIT_PORT_PATH, waitPort }] = await Promise.all([
      import('../gvproxy/serve-api.ts'),
      import('../../../control/usernet/wait-port.ts'),
    ]);
    const { gatewayMac: mac } = network.view.info();
    const target = targetOf({ address: gateway, mac }, network);
    const endpoint = { kind: 'unix', path } as const;
    const long = {
      path: WAIT_PORT_PATH,
      answer: (query: URLSearchParams, gone: AbortSignal) => waitPort(query, target.dial, gone),
    };
    const api = { endpoint, target, name, framing: 'hyperkit', long } as const;
    await named(`-e ${path}`, serveApi(api, network, daemon));
  },
};

function planOf(argv: readonly string[]): Plan<UsernetDialect> | number {
  const given = parseUsernetArguments(argv);
  if (given === undefined) {
    printOutput(USERNET_HELP);
    return 0;
  }
  const endpoint = absolute(given.endpoint);
  const options = usernetConfig({ ...given, endpoint }, realPlace());
  return { options, dialect: { endpoint, name: options.name, gateway: options.gateway } };
}
