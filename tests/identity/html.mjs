// As much of HTML as a user agent without a screen needs: forms with their fields and buttons, links,
// the title. It reads tags and attributes and knows nothing of nesting errors, scripts or styles.

const NAMED = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };

const decode = text =>
  text.replace(/&(#x[0-9a-f]+|#\d+|\w+);/gi, (whole, name) => {
    if (/^#x/i.test(name)) return String.fromCodePoint(parseInt(name.slice(2), 16));
    if (name.startsWith('#')) return String.fromCodePoint(Number(name.slice(1)));
    return NAMED[name] ?? whole;
  });

const attributes = text =>
  Object.fromEntries(
    [...text.matchAll(/([^\s=/>"']+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)].map(
      ([, name, double, single, bare]) => [name.toLowerCase(), decode(double ?? single ?? bare ?? '')],
    ),
  );

const textOf = html => decode(html.replace(/<[^>]*>/g, ' ')).replace(/\s+/g, ' ').trim();

/** What can be done on a page: `{title, heading, forms: [{action, method, fields, buttons}], links}`. */
export function read(html) {
  const shown = html.replace(/<!--[\s\S]*?-->|<(script|style)\b[\s\S]*?<\/\1>/gi, '');
  const one = tag => textOf(new RegExp(`<${tag}\\b[^>]*>([\\s\\S]*?)</${tag}>`, 'i').exec(shown)?.[1] ?? '');
  return {
    title: one('title'),
    heading: one('h1'),
    text: textOf(shown.replace(/<head\b[\s\S]*?<\/head>/i, '')),
    forms: [...shown.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, inner]) =>
      form(attributes(head), inner),
    ),
    links: [...shown.matchAll(/<a\b([^>]*)>([\s\S]*?)<\/a>/gi)].map(([, head, inner]) => ({
      href: attributes(head).href,
      text: textOf(inner),
    })),
  };
}

function form({ action = '', method = 'get' }, inner) {
  const fields = [];
  const buttons = [];
  for (const [, head] of inner.matchAll(/<input\b([^>]*)>/gi)) {
    const { type = 'text', name, value = '', ...more } = attributes(head);
    if (type === 'submit') buttons.push({ name, value, text: value });
    else if (name && (!['checkbox', 'radio'].includes(type) || 'checked' in more)) {
      fields.push({ type, name, value: value || (type === 'checkbox' ? 'on' : ''), required: 'required' in more });
    }
  }
  for (const [, head, options] of inner.matchAll(/<select\b([^>]*)>([\s\S]*?)<\/select>/gi)) {
    const all = [...options.matchAll(/<option\b([^>]*)>([^<]*)/gi)].map(([, of, text]) => ({
      text: textOf(text),
      ...attributes(of),
    }));
    const chosen = all.find(option => 'selected' in option) ?? all[0];
    const { name } = attributes(head);
    if (name && chosen) fields.push({ type: 'select', name, value: chosen.value ?? chosen.text });
  }
  for (const [, head, text] of inner.matchAll(/<button\b([^>]*)>([\s\S]*?)<\/button>/gi)) {
    const { type = 'submit', name, value = '' } = attributes(head);
    if (type === 'submit') buttons.push({ name, value, text: textOf(text) });
  }
  return { action, method: method.toLowerCase(), fields, buttons };
}
