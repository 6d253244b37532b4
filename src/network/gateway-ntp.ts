import { KEY_REMOTE, keyGuest, keyRemote } from '../base/flow-key.ts';
import { REFUSAL_ERRORS } from '../proxy/flows/destination.ts';
import type { Destinations } from '../proxy/flows/destinations.ts';
import { answerNtp, NTP_PORT } from '../services/ntp.ts';
import type { Stack } from '../stack/stack.ts';

const REPLY_LEN = 48;

/** The gateway's NTP server: the time of the host for guests. */
export function serveNtp(stack: Stack, destinations: Destinations): void {
  const reply = new Uint8Array(REPLY_LEN);
  const view = new DataView(reply.buffer);
  stack.serveUdp(NTP_PORT, (now, datagram) => {
    const { slab, off, len, key, owner, guestPort, remotePort } = datagram;
    const id = { guest: keyGuest(key), guestPort, remote: keyRemote(key), remotePort };
    const refusal = destinations.refusesService(owner, 'udp', key, KEY_REMOTE, remotePort);
    if (refusal !== undefined) {
      if (refusal !== 'none') stack.sendUdpError(now, id, REFUSAL_ERRORS[refusal], id.remote, len);
      return;
    }
    const at = slab.bytes.byteOffset + off;
    const request = new DataView(slab.bytes.buffer, at, len);
    const replyLen = answerNtp(request, view, Date.now());
    if (replyLen > 0) stack.sendDatagram(now, id, reply, 0, replyLen);
  });
}
