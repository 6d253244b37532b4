/** The host's connection of a guest's, used for one request after the other. */
import { Agent, type ClientRequestArgs } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** @param socket to be listened to before the turn is over */
export type SocketCallback = (error: Error | null, socket?: Socket) => void;

type OnConnection = (error: Error | null, stream: Duplex) => void;

export class Hop {
  /** Of the way that it takes. */
  readonly key: string;
  readonly agent: Agent;

  constructor(key: string, open: (onSocket: SocketCallback) => void) {
    this.key = key;
    this.agent = new HopAgent(open);
  }

  close(): void {
    this.agent.destroy();
  }
}

class HopAgent extends Agent {
  private readonly open: (onSocket: SocketCallback) => void;

  constructor(open: (onSocket: SocketCallback) => void) {
    super({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 });
    this.open = open;
  }

  override createConnection(_options: ClientRequestArgs, done?: OnConnection): undefined {
    this.open((error, socket) => {
      if (socket !== undefined) done?.(null, socket);
      else if (error !== null) (done as ((error: Error) => void) | undefined)?.(error);
    });
    return undefined;
  }
}
