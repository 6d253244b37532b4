/** A guest on a connected message socket that this process was started with, or was handed: one end of a pair, usually. */
import type { Posix } from '../../native/posix.ts';
import { type EndingLink, type LinkContext, LinkError } from '../link-context.ts';
import { LinkStats } from '../link-stats.ts';
import { MessageLink } from './message-link.ts';

export class AttachedMessages implements EndingLink {
  readonly description: string;
  readonly stats: LinkStats = new LinkStats();
  readonly closed: Promise<void>;
  private readonly link: MessageLink;

  /**
   * @param fd it belongs to the link from now on
   * @throws LinkError when there are too many links
   */
  constructor(posix: Posix, fd: number, description: string, context: LinkContext) {
    this.description = description;
    const { stats } = this;
    let onDown = (): void => {};
    this.closed = new Promise((resolve) => {
      onDown = resolve;
    });
    // Whoever has handed it over is a listener of its own.
    const [name, listener] = [description, description];
    this.link = new MessageLink({ posix, fd, name, listener, stats, onDown }, context);
    if (!this.link.start()) throw new LinkError(`cannot attach ${description}: too many links`);
  }

  close(): Promise<void> {
    this.link.close();
    return this.closed;
  }
}
