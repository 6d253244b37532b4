/**
 * The requests of a connection, served one after the other, and read no faster: a client may send many without waiting for
 * answers (RFC 9112 §9.3.2), and need not read these.
 *
 * Theory of operation
 * -------------------
 * Node's HTTP server makes a request and a response of all that it has read, thousands at once, and has each served at
 * once. Here what a connection brings is given to it in small parts, none while a request waits, and a request is
 * served when the answer before it has left. What is behind it waits as bytes: those of one read, for the connection is
 * paused. One without a request behind is read on, so that a client that leaves is noticed.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** Of a connection's bytes, parsed at once: some dozens of requests at most. */
const PART_LEN = 1024;
const NOTHING: Buffer = Buffer.alloc(0);

type Serve = (request: IncomingMessage, response: ServerResponse) => void;

/** Called before other wrappers of the server's listeners. */
export function serveInTurn(server: Server, serve: Serve): void {
  const lines = new WeakMap<Duplex, RequestLine>();
  const own = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (connection: Duplex) => {
    for (const listener of own) listener.call(server, connection);
    const [parse, other] = connection.listeners('data');
    if (parse === undefined || other !== undefined) return; // this Node reads connections in another way
    connection.removeAllListeners('data');
    const line = new RequestLine(connection, (bytes) => parse.call(connection, bytes), serve);
    lines.set(connection, line);
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const line = lines.get(request.socket);
    if (line === undefined) serve(request, response);
    else line.enter({ request, response });
  });
}

interface Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

class RequestLine {
  private readonly connection: Duplex;
  private readonly parse: (bytes: Buffer) => void;
  private readonly serve: Serve;
  private unparsed = NOTHING;
  private current: Turn | undefined = undefined;
  private waiting: Turn[] = [];
  private isPaused = false;

  constructor(connection: Duplex, parse: (bytes: Buffer) => void, serve: Serve) {
    this.connection = connection;
    this.parse = parse;
    this.serve = serve;
    connection.on('data', (bytes: Buffer) => {
      this.unparsed = this.unparsed.length === 0 ? bytes : Buffer.concat([this.unparsed, bytes]);
      this.advance();
    });
    connection.on('drain', () => this.advance());
    connection.once('close', () => {
      this.waiting = [];
      this.unparsed = NOTHING;
    });
  }

  enter(turn: Turn): void {
    this.waiting.push(turn);
    if (this.current === undefined) this.next();
  }

  private next(): void {
    const turn = this.waiting.shift();
    this.current = turn;
    if (turn === undefined) return;
    turn.response.once('close', () => {
      this.next();
      this.advance();
    });
    this.serve(turn.request, turn.response);
  }

  private advance(): void {
    while (this.unparsed.length > 0 && this.mayParse) {
      const part = this.unparsed.subarray(0, PART_LEN);
      this.unparsed = this.unparsed.subarray(part.length);
      this.parse(part);
    }
    const mustWait = this.unparsed.length > 0 || this.waiting.length > 0;
    if (mustWait === this.isPaused || this.connection.destroyed) return;
    this.isPaused = mustWait;
    if (mustWait) this.connection.pause();
    else this.connection.resume();
  }

  /** Nothing is parsed behind a request that is there whole, nor by a server that has given the connection away. */
  private get mayParse(): boolean {
    const { connection, current, waiting } = this;
    if (waiting.length > 0 || current?.request.complete === true) return false;
    return !connection.destroyed && !connection.writableNeedDrain && hasParser(connection);
  }
}

const hasParser = (connection: Duplex): boolean =>
  'parser' in connection && connection.parser !== null;
