/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeps the page up to date: fetches it again and changes only what differs, so nothing flashes, and the focus, the
 * selection and the scrolling stay. Without this script the browser reloads the page. */
'use strict';
(() => {
	const EVERY_MS = 5000, PATIENCE_MS = 8000;
	const byId = (id) => document.getElementById(id);
	const live = byId('live'), pause = byId('pause'), lost = byId('lost');
	const clock = (time) => time.toLocaleTimeString('en-GB');
	let isPaused = false, lostSince = null, timer = 0, isAsking = false;

	/* --- making one tree equal to another -------------------------------------------------------- */

	function sameKind(a, b) {
		return a.nodeType === b.nodeType && a.nodeName === b.nodeName;
	}

	function adoptAttributes(from, to) {
		for (const { name } of [...to.attributes]) {
			if (!from.hasAttribute(name) && name !== 'open') to.removeAttribute(name);
		}
		for (const { name, value } of from.attributes) {
			if (to.getAttribute(name) !== value) to.setAttribute(name, value);
		}
	}

	function adopt(from, to) {
		if (from.isEqualNode(to)) return;
		if (from.nodeType !== Node.ELEMENT_NODE) {
			to.nodeValue = from.nodeValue;
			return;
		}
		adoptAttributes(from, to);
		const wanted = [...from.childNodes], there = [...to.childNodes];
		there.slice(wanted.length).forEach((node) => node.remove());
		wanted.forEach((node, i) => {
			if (i >= there.length) to.append(node);
			else if (sameKind(node, there[i])) adopt(node, there[i]);
			else there[i].replaceWith(node);
		});
	}

	/* --- asking ------------------------------------------------------------------------------------ */

	function show(text) {
		const page = new DOMParser().parseFromString(text, 'text/html');
		const script = page.querySelector('script');
		if (!script || script.textContent !== document.querySelector('script').textContent) {
			location.reload(); /* another version of the sidecar */
			return;
		}
		for (const part of ['title', 'link', 'header', 'main', 'footer']) {
			adopt(page.querySelector(part), document.querySelector(part));
		}
		restorePins();
	}

	function found() {
		lostSince = null;
		lost.hidden = true;
		document.body.classList.remove('stale');
		live.textContent = `as of ${clock(new Date())}`;
	}

	function missed(why) {
		lostSince = lostSince || new Date();
		document.body.classList.add('stale');
		const text = `Unreachable since ${clock(lostSince)}: ${why}. What is shown is from before; it is asked again every ` +
			`${EVERY_MS / 1000} seconds.`;
		if (lost.textContent !== text) lost.textContent = text; /* a screen reader says it once */
		lost.hidden = false;
		live.textContent = 'unreachable';
	}

	async function ask() {
		if (isAsking) return;
		isAsking = true;
		clearTimeout(timer);
		try {
			const answer = await fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
			const text = await answer.text();
			if (!answer.ok) throw new Error(`it answers ${answer.status}, ${text.trim()}`);
			show(text);
			found();
		} catch (error) {
			missed(error instanceof TypeError ? 'it does not answer' : error.name === 'TimeoutError'
				? 'it accepts the connection and does not answer' : error.message);
		}
		isAsking = false;
		plan();
	}

	function plan() {
		clearTimeout(timer);
		if (!isPaused && !document.hidden) timer = setTimeout(ask, EVERY_MS);
	}

	/* --- charts: the value under the pointer, or under the arrow keys --------------------------------- */

	const pins = new Map(); /* id of the plot -> index of the step */

	function setPin(plot, index) {
		const rows = plot.dataset.steps.split('|').map((row) => row.split(','));
		const at = Math.max(0, Math.min(rows.length - 1, index));
		const line = plot.querySelector('.pin'), said = plot.parentElement.querySelector('.said');
		const seconds = (rows.length - 1 - at) * Number(plot.dataset.every);
		pins.set(plot.id, at);
		line.setAttribute('x1', at + 0.5);
		line.setAttribute('x2', at + 0.5);
		line.removeAttribute('visibility');
		said.textContent = (seconds ? `${Math.floor(seconds / 60)}m ${seconds % 60}s ago` : 'now') + ': ' +
			rows[at].map((value, i) => `${value || 'nothing'} ${plot.dataset.names.split('|')[i]}`).join(', ');
	}

	function clearPin(plot) {
		pins.delete(plot.id);
		plot.querySelector('.pin').setAttribute('visibility', 'hidden');
		plot.parentElement.querySelector('.said').textContent = '';
	}

	function restorePins() {
		for (const [id, index] of pins) {
			if (byId(id)) setPin(byId(id), index);
		}
	}

	const plotOf = (event) => event.target instanceof Element && event.target.closest('.plot[data-steps]');
	const stepsOf = (plot) => plot.dataset.steps.split('|').length;

	document.addEventListener('pointermove', (event) => {
		const plot = plotOf(event);
		for (const id of [...pins.keys()]) {
			if ((!plot || plot.id !== id) && byId(id) && byId(id) !== document.activeElement) clearPin(byId(id));
		}
		if (plot) {
			const box = plot.getBoundingClientRect();
			setPin(plot, Math.floor((event.clientX - box.left) / box.width * stepsOf(plot)));
		}
	});
	document.addEventListener('keydown', (event) => {
		const plot = plotOf(event), by = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
		if (plot && by) {
			event.preventDefault();
			setPin(plot, (pins.get(plot.id) ?? stepsOf(plot)) + by);
		} else if (plot && event.key === 'Escape') {
			clearPin(plot);
		}
	});
	document.addEventListener('focusout', (event) => plotOf(event) && clearPin(plotOf(event)));

	/* --- the start ------------------------------------------------------------------------------------ */

	pause.hidden = false;
	pause.addEventListener('click', () => {
		isPaused = !isPaused;
		pause.textContent = isPaused ? 'Resume' : 'Pause';
		if (isPaused) {
			clearTimeout(timer);
			live.textContent = `paused, ${live.textContent}`;
		} else {
			ask();
		}
	});
	document.addEventListener('visibilitychange', () => (document.hidden || isPaused ? clearTimeout(timer) : ask()));
	live.textContent = `as of ${clock(new Date())}`;
	plan();
})();
