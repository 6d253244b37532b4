/** Paths of Unix sockets. */

/** Bytes: the capacity of `sun_path`, without the NUL. The system calls cut a longer path, and make another socket. */
export const UNIX_PATH_MAX: number = process.platform === 'darwin' ? 103 : 107;
