/**
 * `POST /connect`: a connection to the API becomes a link for guests, as with gvproxy. No answer is sent: frames follow the
 * request, in the framing that its query names.
 */
import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { isStreamFraming, type StreamFramingName } from '../transports/framing.ts';
import { endRaw } from './api-server.ts';
import { type HijackedConnections, hijackRequests, type RequestHead } from './hijacked-requests.ts';
import { type ProblemError, problem } from './problem.ts';

const CONNECT_PATH = '/connect';
/** VPNKit's, and gvproxy's default. */
const USUAL_FRAMING = 'vpnkit';

/**
 * @param connection it belongs to the link from now on
 * @throws Error that says why there is no link
 */
export type AttachConnection = (connection: Duplex, framing: StreamFramingName) => void;

/**
 * Called before other wrappers of the server's listeners.
 *
 * @param refusalOf why a request is refused
 */
export function serveGuestConnections(
  server: Server,
  attach: AttachConnection,
  refusalOf: (connection: Duplex, head: RequestHead) => ProblemError | undefined,
): HijackedConnections {
  return hijackRequests(server, ({ method, path }) => {
    if (method !== 'POST' || path !== CONNECT_PATH) return undefined;
    return (connection, head) => {
      const refused = refusalOf(connection, head) ?? attachBy(attach, connection, head);
      if (refused === undefined) return;
      endRaw(connection, refused.problem.status, refused.problem.detail);
    };
  });
}

function attachBy(
  attach: AttachConnection,
  connection: Duplex,
  { query }: RequestHead,
): ProblemError | undefined {
  const framing = query.get('framing') ?? USUAL_FRAMING;
  const isUnknown = [...query.keys()].some((name) => name !== 'framing');
  if (isUnknown || !isStreamFraming(framing)) {
    return problem(400, 'The query may be framing=qemu, or framing=vpnkit, which is the default.');
  }
  try {
    attach(connection, framing);
    return undefined;
  } catch (error) {
    return problem(503, error instanceof Error ? error.message : String(error));
  }
}
