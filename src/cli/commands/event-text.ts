/** Events as lines for people: nothing in them controls a terminal. */

import { conflictText } from '../../control/conflict-text.ts';
import type { DnsQueryView, StreamEvent } from '../../control/events/network-events.ts';
import type { VerdictEvent } from '../../control/flow-view.ts';
import type { LeaseView, PortView } from '../../control/network-view.ts';
import { harmless } from '../text-table.ts';
import { blockText, destinationText, flowText } from './flows.ts';
import { endpoint } from './port-text.ts';

/** `12:00:00 flow  opened   17 tcp 192.168.127.2:40000 → 203.0.113.5:443 (www.example.com)`, with a line feed. */
export function eventText(event: StreamEvent): string {
  const time = new Date(event.at).toTimeString().slice(0, 8);
  const kind = event.type === 'gap' ? event.why : event.kind;
  return `${harmless(`${time} ${event.type.padEnd(5)} ${kind.padEnd(9)} ${textOf(event)}`)}\n`;
}

function textOf(event: StreamEvent): string {
  switch (event.type) {
    case 'guest': {
      const { mac, addresses, hostname, link } = event.guest;
      return words(mac, hostname, addresses.join(', '), link && `at ${link}`);
    }
    case 'lease':
      return leaseText(event.lease);
    case 'port':
      return portText(event.port);
    case 'flow':
      return flowText(event);
    case 'block':
      return blockText(event.block);
    case 'verdict':
      return verdictText(event);
    case 'mux':
      return words(event.mux.link, event.why && `: ${event.why}`);
    case 'limit': {
      const { name, held, whole, refused, evicted } = event.limit;
      return `${name}: ${held} of ${whole}, ${refused} refused, ${evicted} ended for others`;
    }
    case 'conflict':
      return conflictText(event.conflict);
    case 'dns': {
      const { guestName, guestMac, guestId, name, type, rcode, addresses, ...rest } = event.query;
      const who = guestName ?? guestMac ?? `guest ${guestId}`;
      const others = rest.answers - addresses.length;
      const shown = [...addresses, ...(others > 0 ? [`${others} records`] : [])].join(', ');
      return words(`${who} ${name} ${type}: ${rcode}`, shown, dnsOrigin(event.query));
    }
    case 'gap':
      return `${event.events ?? 'some'} events are missing here`;
  }
}

/** `tcp build → 203.0.113.5:443 (www.example.com, asked): allow *.example.com:443/tcp`. */
function verdictText({ verdict, count }: VerdictEvent): string {
  const { why, rule } = verdict;
  const reason = why === null || why === 'policy' ? (rule ?? why) : words(why, rule && `(${rule})`);
  const times = count > 1 ? `, and ${count - 1} more` : '';
  return `${destinationText(verdict, verdict.evidence)}${reason === null ? '' : `: ${reason}`}${times}`;
}

const words = (...texts: readonly (string | null)[]): string =>
  texts.filter((text) => text !== null && text !== '').join(' ');

function dnsOrigin({ verdict, source, upstream, durationMs }: DnsQueryView): string {
  const origin = verdict === 'denied' ? verdict : (upstream ?? source ?? 'nobody');
  return `(${origin}, ${durationMs} ms)`;
}

const leaseText = ({ mac, address, hostname, expiresAt }: LeaseView): string =>
  words(address, mac, hostname, expiresAt && `until ${expiresAt}`);

function portText(port: PortView): string {
  const { id, protocol, hostAddress, hostPort, hostPath, guestPort, guestPath, guestNow } = port;
  const at = hostPath ?? endpoint(hostAddress ?? '*', hostPort ?? 0);
  const to = guestPath ?? endpoint(guestNow?.address ?? port.guest ?? '*', guestPort ?? 0);
  return `${id} ${protocol} ${at} → ${to} of ${port.owner}`;
}
