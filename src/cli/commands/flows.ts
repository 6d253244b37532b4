/** `hawser flows`: what flows now, or with `--follow` what comes and goes. */
import type { BlockView, FlowEvent, FlowView } from '../../control/flow-view.ts';
import { type FlowLine, flowLineSchema, flowsSchema } from '../../control/schema.ts';
import { RunError } from '../../network/errors.ts';
import type { Evidence } from '../../proxy/flows/flow.ts';
import { formatBytes, formatDuration, harmless, table } from '../text-table.ts';
import { clientOf, type InspectRequest, toJson } from './inspect.ts';
import { endpoint } from './port-text.ts';

/** In the query of the API, where they are given. */
export interface FlowsFilter {
  readonly protocol?: string | undefined;
  readonly guest?: string | undefined;
  readonly remote?: string | undefined;
  readonly port?: string | undefined;
  /** Of the remote. */
  readonly to?: string | undefined;
  readonly publication?: string | undefined;
  readonly limit?: string | undefined;
}

export interface FlowsRequest extends InspectRequest {
  readonly filter: FlowsFilter;
}

export function filterQuery({ to, ...others }: FlowsFilter): URLSearchParams {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...others, name: to })) {
    if (value !== undefined) query.set(key, value);
  }
  return query;
}

/** @returns what to print */
export async function flowsCommand(request: FlowsRequest): Promise<string> {
  const path = `/v1/flows?${filterQuery(request.filter)}`;
  const answer = await clientOf(request).get(path, flowsSchema);
  if (request.json) return toJson(answer);
  if (answer.total === 0) return 'No flows.\n';
  const hidden = answer.total - answer.flows.length;
  return (
    table(
      [
        { title: 'id', leftOut: 8 },
        'protocol',
        { title: 'guest', isAddress: true },
        '',
        { title: 'remote', isAddress: true },
        { title: 'name', leftOut: 7 },
        { title: 'by', leftOut: 6 },
        'state',
        'to host',
        'to guest',
        { title: 'age', leftOut: 5 },
        { title: 'idle', leftOut: 4 },
        { title: 'RTT', leftOut: 3 },
        { title: 'cwnd', leftOut: 1 },
        { title: 'retx', leftOut: 2 },
      ],
      answer.flows.map(flowRow),
    ) + (hidden > 0 ? `and ${hidden} more: see --limit\n` : '')
  );
}

const flowRow = (flow: FlowView): string[] => [
  flow.id,
  flow.protocol,
  guestEnd(flow),
  arrow(flow),
  remoteEnd(flow),
  flow.name ?? '',
  cause(flow),
  flow.state,
  formatBytes(flow.bytesToHost),
  formatBytes(flow.bytesToGuest),
  formatDuration(flow.ageMs),
  formatDuration(flow.idleMs),
  flow.tcp === null ? '' : `${flow.tcp.srttMs.toFixed(1)} ms`,
  flow.tcp === null ? '' : formatBytes(flow.tcp.cwndBytes),
  flow.tcp === null ? '' : String(flow.tcp.retransmits),
];

const arrow = ({ openedBy }: FlowView): string => (openedBy === 'guest' ? '→' : '←');

function guestEnd({ guestAddress, guestPort, guestPath, guestName }: FlowView): string {
  if (guestPath !== null) return guestPath;
  if (guestAddress !== null) return endpoint(guestAddress, guestPort ?? 0);
  return guestName ?? '-';
}

function remoteEnd(flow: FlowView): string {
  const { remoteAddress, remotePort, remotePath, dialledAddress, protocol } = flow;
  if (remoteAddress === null) return remotePath ?? '-';
  const text = protocol === 'icmp' ? remoteAddress : endpoint(remoteAddress, remotePort ?? 0);
  // Of the other family: by NAT64, or to the other loopback.
  const isTranslated = dialledAddress?.includes(':') === !remoteAddress.includes(':');
  return isTranslated ? `${text} (${dialledAddress})` : text;
}

/** `port 3`, `dns`, `mux`, `http://192.0.2.1:3128`. */
function cause({ publication, service, via, proxy }: FlowView): string {
  const how = publication === null ? service : `port ${publication}`;
  return [how, via === 'net' ? null : via, proxy].filter((text) => text !== null).join(', ');
}

/** Prints until the daemon ends. */
export async function followFlows(
  request: FlowsRequest,
  print: (text: string) => void,
): Promise<void> {
  const query = filterQuery(request.filter);
  query.set('follow', 'true');
  const path = `/v1/flows?${query}`;
  for await (const line of clientOf(request).lines(path, flowLineSchema)) {
    print(request.json ? `${JSON.stringify(line)}\n` : lineText(line));
  }
  throw new RunError('the daemon has ended');
}

function lineText(line: FlowLine): string {
  const time = new Date().toTimeString().slice(0, 8);
  if (line.kind === 'missed') return `${time} ${line.events} left out\n`;
  if ('block' in line) return harmless(`${time} ${line.kind.padEnd(8)} ${blockText(line.block)}\n`);
  return harmless(`${time} ${line.kind.padEnd(8)} ${flowText(line)}\n`);
}

/** `udp build → 192.0.2.1:53: policy (deny 192.0.2.0/24)`. */
export function blockText(block: BlockView): string {
  const rule = block.rule === null ? '' : ` (${block.rule})`;
  return `${destinationText(block)}: ${block.why}${rule}`;
}

/** `udp build → 192.0.2.1:53 (ns.example.com)`. */
export function destinationText(
  block: Omit<BlockView, 'why' | 'rule'>,
  evidence: Evidence | null = null,
): string {
  const { guestName, guestMac, guestId, protocol, remoteAddress, remotePort, name } = block;
  const who = guestName ?? guestMac ?? `guest ${guestId}`;
  const isPort = protocol === 'tcp' || protocol === 'udp';
  const at = remoteAddress !== null && isPort ? endpoint(remoteAddress, remotePort) : remoteAddress;
  const how = evidence === null ? '' : `, ${evidence}`;
  const named = name === null || at === null ? '' : ` (${name}${how})`;
  return `${protocol} ${who} → ${at ?? name}${named}`;
}

type FlowText = Pick<FlowEvent, 'flow' | 'why'> & { readonly kind: string };

/** `17 tcp 192.168.127.2:40000 → 203.0.113.5:443 (www.example.com)`, and of an end how and with what. */
export function flowText({ flow, kind, why }: FlowText): string {
  const name = flow.name === null ? '' : ` (${flow.name})`;
  const by = cause(flow) === '' ? '' : ` by ${cause(flow)}`;
  const what = `${flow.id} ${flow.protocol} ${guestEnd(flow)} ${arrow(flow)} ${remoteEnd(flow)}`;
  const end =
    kind === 'ended'
      ? `: ${why}, ${formatBytes(flow.bytesToHost)} to host, ${formatBytes(flow.bytesToGuest)} to guest, ${formatDuration(flow.ageMs)}`
      : '';
  return `${what}${name}${by}${end}`;
}
