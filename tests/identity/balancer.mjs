// One address before several gateways: gives each connection to the next of them and looks at no byte of it.
//
//   PORT    where it listens
//   PORTS   where they listen, separated by spaces

import net from 'node:net';

const ports = process.env.PORTS.split(' ').map(Number);
let count = 0;

const server = net.createServer(near => {
  const far = net.connect(ports[(count += 1) % ports.length], '127.0.0.1');
  near.pipe(far).pipe(near);
  const end = () => {
    near.destroy();
    far.destroy();
  };
  for (const socket of [near, far]) socket.on('error', end).on('close', end);
});
server.listen(Number(process.env.PORT), '127.0.0.1', () =>
  console.log(JSON.stringify({ url: `https://localhost:${server.address().port}` })),
);
