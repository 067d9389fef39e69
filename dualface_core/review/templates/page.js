"use strict";
// Keeps source and result in step. One of them leads, the result if it can be played, and the other follows: a small
// distance is made up by speed, a large one by a seek. Without this script the two videos have controls of their own.
(() => {
  const player = document.querySelector("[data-player]");
  const one = (name) => player.querySelector(`[data-${name}]`);
  const frame = Number(player.dataset.frame);
  const play = one("play"), seek = one("seek"), clock = one("clock"), speed = one("speed"), audio = one("audio");
  const start = Number(seek.min), end = Number(seek.max);
  const heads = document.querySelectorAll("[data-playhead]");
  const screens = ["Result", "Source"].map((name) => player.querySelector(`[data-screen="${name}"]`));
  const videos = screens.map((screen) => screen.querySelector("video"));
  const lost = new Set();
  const there = () => videos.filter((video) => !lost.has(video));
  let playing = false;

  const text = (seconds) => {
    const tenths = Math.round(Math.max(0, seconds) * 10), minutes = Math.floor(tenths / 600);
    const pad = (number) => String(number).padStart(2, "0");
    const head = minutes >= 60 ? `${Math.floor(minutes / 60)}:${pad(minutes % 60)}` : String(minutes);
    return `${head}:${pad(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
  };
  const show = (time) => {
    seek.value = time;
    seek.setAttribute("aria-valuetext", text(time));
    clock.value = `${text(time)} / ${text(end)}`;
    const place = `${Math.min(100, Math.max(0, 100 * (time - start) / (end - start)))}%`;
    for (const head of heads) { head.setAttribute("x1", place); head.setAttribute("x2", place); }
  };
  const go = (time) => {
    const target = Math.min(end - frame / 2, Math.max(start, time));
    for (const video of there()) video.currentTime = target;
    show(target);
  };
  const now = () => (there().length ? there()[0].currentTime : Number(seek.value));
  const follow = () => {
    const [leader, follower] = there();
    if (leader && follower && !follower.seeking && !leader.seeking) {
      const behind = leader.currentTime - follower.currentTime;
      if (Math.abs(behind) > 0.3) follower.currentTime = leader.currentTime;
      else follower.playbackRate = leader.playbackRate * (1 + Math.max(-0.1, Math.min(0.1, behind)));
    }
    if (leader) show(leader.currentTime);
    if (playing) requestAnimationFrame(follow);
  };
  const set = (state) => {
    if (state === playing || !there().length) return;
    playing = state;
    play.textContent = state ? "Pause" : "Play";
    if (!state) {
      for (const video of there()) video.pause();
      const [leader, follower] = there();
      if (follower) follower.currentTime = leader.currentTime;
      return;
    }
    if (now() >= end - 2 * frame) go(start);
    for (const video of there()) video.play().catch(() => {});
    requestAnimationFrame(follow);
  };
  const lose = (video, screen) => {
    lost.add(video);
    video.hidden = true;
    screen.querySelector(".lost").hidden = false;
    if (!there().length) { playing = false; play.disabled = speed.disabled = audio.disabled = true; }
  };

  videos.forEach((video, index) => {
    const screen = screens[index];
    video.removeAttribute("controls");
    video.addEventListener("error", () => lose(video, screen));
    video.addEventListener("click", () => set(!playing));
    video.addEventListener("dblclick", () => video.requestFullscreen && video.requestFullscreen());
    video.addEventListener("ended", () => set(false));
    if (video.error) lose(video, screen);
  });
  play.addEventListener("click", () => set(!playing));
  seek.addEventListener("input", () => go(Number(seek.value)));
  speed.addEventListener("change", () => { for (const video of videos) video.playbackRate = Number(speed.value); });
  audio.addEventListener("change", () => { videos[0].muted = !audio.checked; });
  for (const button of player.querySelectorAll("[data-step]"))
    button.addEventListener("click", () => { set(false); go(now() + Number(button.dataset.step) * frame); });
  for (const button of document.querySelectorAll("button[data-time]"))
    button.addEventListener("click", () => {
      go(Number(button.dataset.time));
      player.scrollIntoView({ block: "nearest" });
    });
  for (const chart of document.querySelectorAll("[data-chart]"))
    chart.addEventListener("click", (event) => {
      const box = chart.getBoundingClientRect();
      go(start + (end - start) * (event.clientX - box.left) / box.width);
    });
  // A control that was clicked gives the keys back to the page. One that was reached by keys keeps those that are its own.
  let pointed = false;
  document.addEventListener("pointerdown", () => { pointed = true; }, true);
  document.addEventListener("click", (event) => { if (pointed && event.target !== speed) document.activeElement.blur(); });
  document.addEventListener("change", () => { if (pointed) document.activeElement.blur(); });
  document.addEventListener("keydown", (event) => {
    pointed = false;
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input[type=range]")) return;
    const keys = { ArrowLeft: -1, ArrowRight: 1, ",": -frame, ".": frame };
    if (event.key in keys) go(now() + keys[event.key]);
    else if (event.key === " " && !event.target.closest("button, a, summary, input")) set(!playing);
    else return;
    event.preventDefault();
  });
  for (const time of document.querySelectorAll("time[datetime]"))
    time.textContent = new Date(time.dateTime).toLocaleString();
  for (const part of player.querySelectorAll(".transport, [data-keys]")) part.hidden = false;
  show(start);
})();
