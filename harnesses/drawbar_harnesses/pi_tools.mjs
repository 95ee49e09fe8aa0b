// An extension for the pi coding agent: the tools of an MCP endpoint (DRAWBAR_MCP_URL, DRAWBAR_KEY where it wants one) as tools of pi.

const REVISION = "2026-07-28";
const META = {
  "io.modelcontextprotocol/protocolVersion": REVISION,
  "io.modelcontextprotocol/clientInfo": { name: "drawbar-pi", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};
let requests = 0;

async function request(method, params, { signal, meta } = {}) {
  const id = ++requests;
  const headers = {
    "Content-Type": "application/json",
    Accept: "application/json, text/event-stream",
    "MCP-Protocol-Version": REVISION,
    "Mcp-Method": method,
  };
  if (process.env.DRAWBAR_KEY) headers.Authorization = `Bearer ${process.env.DRAWBAR_KEY}`;
  if (params.name !== undefined) headers["Mcp-Name"] = params.name;
  const body = { jsonrpc: "2.0", id, method, params: { ...params, _meta: { ...META, ...meta } } };
  const response = await fetch(process.env.DRAWBAR_MCP_URL, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
    signal,
  });
  const text = await response.text();
  const answers = (response.headers.get("content-type") ?? "").startsWith("text/event-stream")
    ? events(text)
    : [JSON.parse(text)];
  const answer = answers.find((each) => each.id === id);
  if (answer?.result === undefined) throw new Error(answer?.error?.message ?? `${method}: HTTP ${response.status}`);
  return answer.result;
}

function events(text) {
  return text
    .split(/\r?\n\r?\n/)
    .map((event) => event.split(/\r?\n/).filter((line) => line.startsWith("data:")))
    .filter((lines) => lines.length)
    .map((lines) => JSON.parse(lines.map((line) => line.slice(5)).join("\n")));
}

async function listed() {
  const tools = [];
  let cursor;
  do {
    const page = await request("tools/list", cursor === undefined ? {} : { cursor });
    tools.push(...page.tools);
    cursor = page.nextCursor;
  } while (cursor);
  return tools;
}

function content(block) {
  if (block.type === "text") return { type: "text", text: block.text };
  if (block.type === "image") return { type: "image", data: block.data, mimeType: block.mimeType };
  return { type: "text", text: JSON.stringify(block) };
}

export default async function (pi) {
  for (const tool of await listed()) {
    pi.registerTool({
      name: tool.name,
      label: tool.title ?? tool.name,
      description: tool.description ?? "",
      parameters: tool.inputSchema,
      async execute(toolCallId, params, signal) {
        const meta = { "drawbar/toolUseId": toolCallId.split("|")[0] }; // with Responses, `call|item`
        const result = await request("tools/call", { name: tool.name, arguments: params }, { signal, meta });
        const blocks = (result.content ?? []).map(content);
        if (result.isError) throw new Error(blocks.map((block) => block.text ?? "").join("\n")); // how pi marks errors
        return { content: blocks, details: {} };
      },
    });
  }
}
