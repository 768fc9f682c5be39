// Preloaded into servers of others that would listen on every interface of the machine: keeps them
// on loopback and prints where they ended up, in the form that all servers of the proof use.

import net from 'node:net';

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  this.once('listening', () => {
    const { port } = this.address();
    console.log(JSON.stringify({ port, url: `http://127.0.0.1:${port}/mcp` }));
  });
  return listen.call(this, Number(port), '127.0.0.1', ...rest.filter(one => typeof one === 'function'));
};
