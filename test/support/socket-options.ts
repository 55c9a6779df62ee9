import koffi from 'koffi';

/** What the system knows of the sockets of this process. */

const libc = koffi.load(process.platform === 'darwin' ? 'libSystem.B.dylib' : 'libc.so.6');
const addressOf = {
  here: libc.func('getsockname', 'int', ['int', koffi.out('uint8_t *'), koffi.inout('uint32_t *')]),
  there: libc.func('getpeername', 'int', ['int', koffi.out('uint8_t *'), koffi.inout('uint32_t *')]),
};
const getOption = libc.func('getsockopt', 'int', ['int', 'int', 'int', koffi.out('int *'), koffi.inout('uint32_t *')]);
const [IPPROTO_TCP, TCP_NODELAY] = [6, 1];

/** Longer than any address; the port stands after the family. */
const ADDRESS_BYTES = 128;

/** Of each connection that a server of this process has on a port: whether small messages go out at once. */
export function noDelayOf(port: number): readonly boolean[] {
  const found: boolean[] = [];
  for (let fd = 3; fd < 1_024; fd += 1) {
    if (portOf('here', fd) !== port || portOf('there', fd) === undefined) continue;
    const value = [0];
    if (getOption(fd, IPPROTO_TCP, TCP_NODELAY, value, [4]) !== 0) throw new Error('getsockopt failed');
    found.push(value[0] !== 0);
  }
  return found;
}

function portOf(end: keyof typeof addressOf, fd: number): number | undefined {
  const address = Buffer.alloc(ADDRESS_BYTES);
  return addressOf[end](fd, address, [ADDRESS_BYTES]) === 0 ? address.readUInt16BE(2) : undefined;
}
