// What the official client shows of the Responses API.

import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { client } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

const create = (input, more = {}) => client.responses.create({ model: "demo", input, ...more });

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", name: "weather", parameters }];

async function* deltas(stream) {
  for await (const event of await stream) if (event.type === "response.output_text.delta") yield event.delta;
}

await show({
  version: () => versionOf("openai"),

  plain: async () => (await create("Hello")).output_text,

  streaming: async () => {
    const pieces = [];
    for await (const delta of deltas(create("Hello", { stream: true }))) pieces.push(delta);
    return pieces;
  },

  helper: async () => {
    let said = "";
    const stream = client.responses.stream({ model: "demo", input: "Hello" });
    for await (const delta of deltas(stream)) said += delta;
    return [said, (await stream.finalResponse()).output_text];
  },

  structured: async () => {
    const text = { format: zodTextFormat(z.object({ city: z.string() }), "place") };
    const response = await client.responses.parse({ model: "echo", input: '{"city": "Paris"}', text });
    return response.output_parsed.city;
  },

  tools: async () => {
    const question = { role: "user", content: "What is the weather in Paris?" };
    const asked = await create([question], { tools });
    const { call_id, arguments: given } = asked.output.find((item) => item.type === "function_call");
    const result = { type: "function_call_output", call_id, output: weather(JSON.parse(given)) };
    return (await create([question, ...asked.output, result], { tools })).output_text;
  },

  agent_tool: async () => {
    const response = await create("Add 19 and 23");
    const call = response.output.find((item) => item.type === "mcp_call");
    return [call.name, call.output, response.output_text];
  },

  second_turn: async () => {
    const first = { role: "user", content: "When is high tide?" };
    const { output } = await create([first], { model: "echo" });
    const second = { role: "user", content: "And low tide?" };
    return (await create([first, ...output, second], { model: "echo" })).output_text;
  },

  previous_id: async () => {
    const { id } = await create("When is high tide?", { model: "echo" });
    return (await create("And low tide?", { model: "echo", previous_response_id: id })).output_text;
  },

  reasoning: async () => {
    const items = (await create("[[scenario:reasoning]]")).output.filter((item) => item.type === "reasoning");
    return items.flatMap((item) => item.summary.map((part) => part.text)).join("");
  },

  error: async () => {
    let said = "";
    try {
      for await (const delta of deltas(create("[[scenario:fail]]", { stream: true }))) said += delta;
    } catch (failed) {
      return [said, failed.message];
    }
  },

  refusal: async () => {
    try {
      await create("[[scenario:fail_start]]");
    } catch (failed) {
      return failed.message;
    }
  },

  cancel: async () => {
    let said = "";
    for await (const delta of deltas(create("[[scenario:slow]]", { stream: true }))) {
      said += delta;
      if (said.includes("am")) break;
    }
    return await stopped(said);
  },
});
