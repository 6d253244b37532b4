/** Which flows a request is about. */
import { isIP } from 'node:net';
import { FLOW_PROTOCOLS } from '../proxy/flows/flow.ts';
import { isInside, type Prefix, parseAddress, parsePrefix } from '../services/address-text.ts';
import type { BlockView, FlowView } from './flow-view.ts';
import { problem, quoted } from './problem.ts';
import type { QueryParameter } from './route.ts';

export interface FlowFilter {
  /** Nothing is left out. */
  readonly isOpen: boolean;
  /** Whether it may be one of `matches`, as far as a block tells. */
  blocks(block: Omit<BlockView, 'why'>): boolean;
  matches(flow: FlowView): boolean;
}

export const FILTER_QUERY: readonly QueryParameter[] = [
  {
    name: 'protocol',
    description: 'Only flows of this protocol.',
    schema: { type: 'string', enum: FLOW_PROTOCOLS },
  },
  {
    name: 'guest',
    description: 'Only flows of the guest with this address, id or name of its lease.',
    schema: { type: 'string' },
  },
  {
    name: 'remote',
    description: 'Only flows to or from this address or network.',
    schema: { type: 'string' },
  },
  {
    name: 'port',
    description: 'Only flows with this port, at either end.',
    schema: { type: 'integer', minimum: 1, maximum: 65_535 },
  },
  {
    name: 'name',
    description: 'Only flows to this name, or with "*." before it to those below it.',
    schema: { type: 'string' },
  },
  {
    name: 'publication',
    description: 'Only flows of the published port with this id.',
    schema: { type: 'string' },
  },
];

/** @throws ProblemError for a value that is none */
export function flowFilter(query: ReadonlyMap<string, string>): FlowFilter {
  const protocol = query.get('protocol');
  if (protocol !== undefined && !FLOW_PROTOCOLS.some((known) => known === protocol)) {
    throw problem(
      400,
      `protocol=${quoted(protocol)}: must be one of ${FLOW_PROTOCOLS.join(', ')}.`,
    );
  }
  const guest = query.get('guest');
  const publication = query.get('publication');
  const remote = remoteOf(query.get('remote'));
  const port = portOf(query.get('port'));
  const name = query.get('name')?.toLowerCase();
  const isGuest = (id: number | null, address: string | null, called: string | null): boolean =>
    guest === undefined ||
    guest === address ||
    guest === String(id) ||
    guest.toLowerCase() === called?.toLowerCase();
  const isRemote = (address: string | null): boolean => {
    if (remote === undefined) return true;
    const parsed = address === null ? undefined : parseAddress(address);
    return parsed !== undefined && isInside(remote, parsed);
  };
  return {
    isOpen: FILTER_QUERY.every(({ name: key }) => !query.has(key)),
    matches: (flow) =>
      (protocol === undefined || flow.protocol === protocol) &&
      (publication === undefined || flow.publication === publication) &&
      (port === undefined || flow.guestPort === port || flow.remotePort === port) &&
      isGuest(flow.guestId, flow.guestAddress, flow.guestName) &&
      isRemote(flow.remoteAddress) &&
      isNamed(name, flow.name),
    blocks: (block) =>
      (protocol === undefined || block.protocol === protocol) &&
      publication === undefined &&
      isNamed(name, block.name) &&
      (port === undefined || block.remotePort === port) &&
      isGuest(block.guestId, null, block.guestName) &&
      isRemote(block.remoteAddress),
  };
}

function isNamed(wanted: string | undefined, name: string | null): boolean {
  if (wanted === undefined) return true;
  if (name === null) return false;
  return wanted.startsWith('*.') ? name.endsWith(wanted.slice(1)) : name === wanted;
}

function remoteOf(text: string | undefined): Prefix | undefined {
  if (text === undefined) return undefined;
  const family = isIP(text);
  const prefix = parsePrefix(family === 0 ? text : `${text}/${family === 4 ? 32 : 128}`);
  if (prefix !== undefined) return prefix;
  throw problem(400, `remote=${quoted(text)}: must be an IP address or a network.`);
}

function portOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw problem(400, `port=${quoted(text)}: must be an integer from 1 to 65535.`);
}
