/** The agent's command line. Read without a library: the agent is small, and starts fast. */
import { parseArgs } from 'node:util';
import { type Destination, formatDestination } from '../../mux/destination.ts';
import {
  parseTarget,
  parseTargetRule,
  TARGET_RULE_FORM,
  type TargetRule,
} from '../../proxy/agent/target-rules.ts';
import { parseAddress } from '../../services/address-text.ts';
import {
  type AgentLinkSpec,
  MuxLinkSpecError,
  parseAgentLink,
} from '../../transports/mux/mux-link-spec.ts';
import {
  EVERYTHING,
  LISTENING_RULE_FORM,
  type ListeningRule,
  parseListeningRules,
} from './listening/listening-rules.ts';

export const AGENT_HELP: string = `Usage: hawser agent --listen LINK | --connect LINK ... [options]

The guest's end of hawser's multiplexer. It dials servers, containers and Unix sockets inside the guest for
the host, and forwards sockets of the guest to the host. VPNKit's host side may use it as well.

  --listen LINK               unix:PATH, tcp:IP:PORT (for --mux guest:PORT) or vsock:PORT; repeatable
  --connect LINK              unix:PATH, tcp:IP:PORT or vsock:CID:PORT (CID 2 is the host); repeatable.
                              Dialled again when it falls
  --peer IP                   who may connect to tcp: links (default: the default gateway); repeatable
  --allow RULE                what the host may have dialled (default: everything); repeatable.
                              ${TARGET_RULE_FORM}
  --forward-to-host LOCAL=REMOTE
                              listen at LOCAL (tcp:IP:PORT or unix:PATH) and lead to REMOTE as the host sees it
                              (tcp:IP:PORT or unix:PATH); the host must allow it with --mux-allow; repeatable.
                              REMOTE tcp:GATEWAY:80 is its guest API (--guest-api on), for hawser-docker-proxy
                              at LOCAL unix:/run/hawser/agent.sock
  --watch-docker [SOCKET]     publish on the host what containers have published, by the API of Docker or Podman (default:
                              /var/run/docker.sock, else /run/podman/podman.sock); repeatable. The host must
                              run with --guest-api on. Labels of containers: hawser.publish=no, hawser.port.8080=no, hawser.port.8080=9090
  --publish-listening [RULES] publish on the host's loopback the TCP ports that the guest listens on; the host must run with
                              --guest-api on. RULES (default: *, all of TCP) are separated by commas, and the first
                              that matches a socket decides: ${LISTENING_RULE_FORM}.
                              ADDRESS is what a socket is bound to (default: any; 0.0.0.0: those that chose it);
                              NETNS another network namespace of the guest, by its name in /run/netns, or * for
                              all others; repeatable
  --watch-kubernetes [KUBECONFIG]
                              publish on the host what Services of type LoadBalancer and NodePort publish (default:
                              $KUBECONFIG, ~/.kube/config, that of k3s, kubeadm, k0s or MicroK8s, a service account);
                              repeatable. Needs hawser-agent-kubernetes.mjs beside the agent, and --guest-api on at the
                              host. Annotations or labels of Services, as those of containers:
                              hawser.publish, hawser.port.PORT or .NAME
  --plain                     speak VPNKit's dialect only
  --log-level LEVEL           debug, info, warn, error or silent (default: info)
  -h, --help; -V, --version

Examples:
  hawser agent --listen tcp:0.0.0.0:4099             host: hawser run --mux guest:4099
  hawser agent --listen tcp:0.0.0.0:4099 --publish-listening no:22,*
  hawser agent --listen vsock:4099                   host: hawser run --mux hybrid-vsock:/run/fc.vsock:4099
  hawser agent --connect vsock:2:4099 --forward-to-host unix:/run/ssh-agent.sock=unix:/run/user/1000/agent.sock
`;

export const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type Level = (typeof LEVELS)[number];

export interface NamedLink {
  readonly text: string;
  readonly spec: AgentLinkSpec;
}

export interface Forward {
  readonly local: Destination;
  readonly remote: Destination;
}

export interface AgentRequest {
  readonly listen: readonly NamedLink[];
  readonly connect: readonly NamedLink[];
  /** Undefined: the default gateway. */
  readonly peers: readonly string[] | undefined;
  /** Undefined: everything. */
  readonly allow: readonly TargetRule[] | undefined;
  readonly forwards: readonly Forward[];
  /** Unix sockets of container engines; '' is the one at a known place. */
  readonly watchDocker: readonly string[];
  /** Which sockets that listen in the guest appear on the host. Undefined: none are looked at. */
  readonly publishListening: readonly ListeningRule[] | undefined;
  /** Kubeconfig files; '' is the one at a known place. */
  readonly watchKubernetes: readonly string[];
  readonly plain: boolean;
  readonly level: Level;
}

export type ParsedArguments =
  | { readonly kind: 'run'; readonly request: AgentRequest }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'bad'; readonly problem: string };

const OPTIONS = {
  listen: { type: 'string', multiple: true },
  connect: { type: 'string', multiple: true },
  peer: { type: 'string', multiple: true },
  allow: { type: 'string', multiple: true },
  'forward-to-host': { type: 'string', multiple: true },
  'watch-docker': { type: 'string', multiple: true },
  'publish-listening': { type: 'string', multiple: true },
  'watch-kubernetes': { type: 'string', multiple: true },
  plain: { type: 'boolean' },
  'log-level': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'V' },
} as const;

class BadArgument extends Error {}

export function parseAgentArguments(argv: readonly string[]): ParsedArguments {
  try {
    const { values } = parseArgs({ args: withDefaults(argv), options: OPTIONS, strict: true });
    if (values.help === true) return { kind: 'help' };
    if (values.version === true) return { kind: 'version' };
    const listen = (values.listen ?? []).map((text) => link(text, 'listen'));
    const connect = (values.connect ?? []).map((text) => link(text, 'connect'));
    if (listen.length + connect.length === 0) {
      throw new BadArgument('--listen or --connect must name a link; try --help');
    }
    const forwards = (values['forward-to-host'] ?? []).map(forward);
    const watchDocker = values['watch-docker'] ?? [];
    return {
      kind: 'run',
      request: {
        listen,
        connect,
        peers: values.peer?.map(peer),
        allow: values.allow?.map(rule),
        forwards,
        watchDocker,
        publishListening: listening(values['publish-listening']),
        watchKubernetes: values['watch-kubernetes'] ?? [],
        plain: values.plain ?? false,
        level: level(values['log-level'] ?? 'info'),
      },
    };
  } catch (error) {
    if (error instanceof BadArgument || isParseArgsError(error)) {
      return { kind: 'bad', problem: error.message };
    }
    throw error;
  }
}

/** Options whose value may be left out are some that `parseArgs` does not know. */
const DEFAULTS: ReadonlyMap<string, string> = new Map([
  ['--watch-docker', ''],
  ['--watch-kubernetes', ''],
  ['--publish-listening', EVERYTHING],
]);

const withDefaults = (argv: readonly string[]): string[] =>
  argv.map((arg, i) => {
    const value = DEFAULTS.get(arg);
    const isLeftOut = value !== undefined && (argv[i + 1] ?? '-').startsWith('-');
    return isLeftOut ? `${arg}=${value}` : arg;
  });

function listening(texts: readonly string[] | undefined): readonly ListeningRule[] | undefined {
  return texts?.flatMap((text) => {
    const rules = parseListeningRules(text);
    if (typeof rules === 'string') throw new BadArgument(`--publish-listening: ${rules}`);
    return rules;
  });
}

const isParseArgsError = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_');

function link(text: string, use: 'listen' | 'connect'): NamedLink {
  try {
    return { text, spec: parseAgentLink(text, use) };
  } catch (error) {
    if (error instanceof MuxLinkSpecError) throw new BadArgument(`--${use} ${text}: ${error.why}`);
    throw error;
  }
}

function peer(text: string): string {
  const address = parseAddress(text);
  if (address === undefined) throw new BadArgument(`--peer ${text}: must be an IP address`);
  return address.toString();
}

function rule(text: string): TargetRule {
  const parsed = parseTargetRule(text);
  if (parsed === undefined) throw new BadArgument(`--allow ${text}: must be ${TARGET_RULE_FORM}`);
  return parsed;
}

function forward(text: string): Forward {
  const equals = text.indexOf('=');
  const local = parseTarget(text.slice(0, Math.max(equals, 0)));
  const remote = parseTarget(text.slice(equals + 1));
  if (
    local === undefined ||
    remote === undefined ||
    local.proto === 'udp' ||
    remote.proto === 'udp'
  ) {
    throw new BadArgument(
      `--forward-to-host ${text}: must be LOCAL=REMOTE, each tcp:IP:PORT or unix:PATH`,
    );
  }
  return { local, remote };
}

function level(text: string): Level {
  const found = LEVELS.find((one) => one === text);
  if (found === undefined) {
    throw new BadArgument(`--log-level ${text}: must be one of ${LEVELS.join(', ')}`);
  }
  return found;
}

export const formatForward = ({ local, remote }: Forward): string =>
  `${formatDestination(local)}=${formatDestination(remote)}`;
