# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the image's list of contents (SPDX), and the image for two architectures."""
import hashlib
import json
import re
import shutil
import subprocess

import pytest

import lab as labs
from test_pods_image import Archive, build, image, pytestmark  # noqa: F401

LIST = '/usr/share/doc/fairlead/fairlead.spdx.json'
ARM = labs.ROOT / 'build-aarch64' / 'sidecar' / 'fairlead-sidecar'


def listed(archive):
    return json.loads(archive.text(LIST))


def by_id(sbom):
    return {each['SPDXID']: each for each in (*sbom['packages'], *sbom['files'])}


def related(sbom, kind):
    """Pairs of names: of a package its name, of a file its path."""
    names = {key: each.get('fileName', each['name'] if 'name' in each else '').lstrip('.') for key, each in by_id(sbom).items()}
    return {(names[r['spdxElementId']], names[r['relatedSpdxElement']])
            for r in sbom['relationships'] if r['relationshipType'] == kind and r['spdxElementId'] != 'SPDXRef-DOCUMENT'}


def test_it_is_a_document_of_spdx_2_3(image):
    """What SPDX 2.3 demands of a document, a package, a file and a relationship (sections 6, 7, 8 and 11)."""
    sbom = listed(Archive(image[0]))
    assert (sbom['spdxVersion'], sbom['dataLicense'], sbom['SPDXID']) == ('SPDX-2.3', 'CC0-1.0', 'SPDXRef-DOCUMENT')
    assert re.fullmatch(r'https://\S+[^#]', sbom['documentNamespace']) and '#' not in sbom['documentNamespace']
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', sbom['creationInfo']['created'])
    assert all(re.match(r'(Tool|Person|Organization): \S', who) for who in sbom['creationInfo']['creators'])
    everything = by_id(sbom)
    assert len(everything) == len(sbom['packages']) + len(sbom['files']), 'an identifier names two things'
    for name, each in everything.items():
        assert re.fullmatch(r'SPDXRef-[A-Za-z0-9.-]+', name)
        assert re.fullmatch(r'NOASSERTION|[A-Za-z0-9.+() -]+', each['licenseConcluded'])
    for package in sbom['packages']:
        assert package['name'] and package['versionInfo'] and package['downloadLocation']
        assert package['filesAnalyzed'] == ('packageVerificationCode' in package)
    for file in sbom['files']:
        assert file['fileName'].startswith('./') and {'SHA1', 'SHA256'} == {c['algorithm'] for c in file['checksums']}
    for relation in sbom['relationships']:
        assert {relation['spdxElementId'], relation['relatedSpdxElement']} <= {'SPDXRef-DOCUMENT', *everything}
    described = [r['relatedSpdxElement'] for r in sbom['relationships'] if r['relationshipType'] == 'DESCRIBES']
    assert described == ['SPDXRef-Image']


def test_it_lists_each_file_as_it_is(image):
    archive = Archive(image[0])
    sbom = listed(archive)
    files = {'.' + path: archive.layer.extractfile(member).read() for path, member in archive.members.items()
             if member.isfile() and path != LIST}
    assert {file['fileName'] for file in sbom['files']} == set(files)
    for file in sbom['files']:
        for checksum in file['checksums']:
            assert hashlib.new(checksum['algorithm'], files[file['fileName']]).hexdigest() == checksum['checksumValue']
    code = sbom['packages'][0]['packageVerificationCode']
    sums = ''.join(sorted(hashlib.sha1(data).hexdigest() for data in files.values()))
    assert code['packageVerificationCodeValue'] == hashlib.sha1(sums.encode()).hexdigest()
    assert code['packageVerificationCodeExcludedFiles'] == ['.' + LIST]


def test_each_library_is_of_a_listed_package_in_the_version_that_is_installed(image):
    archive = Archive(image[0])
    sbom = listed(archive)
    versions = {package['name']: package['versionInfo'] for package in sbom['packages']}
    owner = dict(related(sbom, 'EXPANDED_FROM_ARCHIVE'))
    libraries = [path for path in archive.members if re.match(r'/usr/lib.*\.so', path)]
    assert len(libraries) > 10
    for path in (*libraries, '/usr/sbin/nft'):
        about = subprocess.run(['dpkg-query', '-W', '-f', '${Version}', owner[path]], capture_output=True, text=True, check=True)
        assert versions[owner[path]] == about.stdout
        purl = next(p for p in sbom['packages'] if p['name'] == owner[path])['externalRefs'][0]['referenceLocator']
        assert purl.startswith(f'pkg:deb/debian/{owner[path]}@') and purl.endswith('?arch=' + archive.config['architecture'])
    assert dict(related(sbom, 'GENERATED_FROM')) == dict.fromkeys(('/usr/bin/fairlead-sidecar', '/usr/bin/fairlead-agent'), 'fairlead')


def test_it_lists_what_is_compiled_in(image):
    sbom = listed(Archive(image[0]))
    linked = {library for program, library in related(sbom, 'STATIC_LINK') if program == 'fairlead'}
    assert {'wolfssl', 'uthash-dev', 'libc6-dev'} <= linked
    wolfssl = next(p for p in sbom['packages'] if p['name'] == 'wolfssl')
    wrap = (labs.ROOT / 'deploy' / 'subprojects' / 'wolfssl.wrap').read_text()
    assert wolfssl['checksums'] == [{'algorithm': 'SHA256', 'checksumValue': re.search(r'source_hash = (\w+)', wrap)[1]}]
    assert f'wolfssl-{wolfssl["versionInfo"]}-stable' in wrap


def test_programs_and_libraries_are_linked_as_it_says(image):
    """Also what libraries need themselves is in the image."""
    archive = Archive(image[0])
    pairs = related(listed(archive), 'DYNAMIC_LINK')
    assert {needed for _, needed in pairs} <= set(archive.members)
    assert ('/usr/bin/fairlead-sidecar', 'libuv.so.1') in {(a, b.rpartition('/')[2]) for a, b in pairs}
    assert ('/usr/sbin/nft', 'libnftables.so.1') in {(a, b.rpartition('/')[2]) for a, b in pairs}
    assert not any(a.startswith('/usr/bin') and 'nftables' in b for a, b in pairs)


def test_a_copy_lies_beside_the_archive(image):
    assert open(image[1]['contents'], encoding='utf-8').read() == Archive(image[0]).text(LIST)


@pytest.mark.aarch64
@pytest.mark.skipif(not ARM.exists() or not shutil.which('aarch64-linux-gnu-strip'),
                    reason='there is no build for 64-bit ARM: deploy/build aarch64')
def test_one_image_for_both_architectures(build):
    path, said = build('--arch', 'arm64,amd64', SOURCE_DATE_EPOCH='1760000000')
    again, _ = build('--arch', 'amd64,arm64', SOURCE_DATE_EPOCH='1760000000')
    assert path.read_bytes() == again.read_bytes()
    archives = {name: Archive(path, name) for name in ('amd64', 'arm64')}
    machines = {'amd64': b'\x3e\x00', 'arm64': b'\xb7\x00'}
    top, = archives['amd64'].json('index.json')['manifests']
    assert (top['digest'], top['annotations']) == (said['digest'], {'org.opencontainers.image.ref.name': said['image']})
    for name, archive in archives.items():
        assert archive.config['architecture'] == name
        sbom = listed(archive)
        for path in related(sbom, 'DYNAMIC_LINK'):
            head = archive.layer.extractfile(archive.members[path[0]]).read(20)
            assert head[:4] == b'\x7fELF' and head[18:] == machines[name], path[0]
        assert all(f'?arch={name}' in p['externalRefs'][0]['referenceLocator']
                   for p in sbom['packages'] if p['SPDXID'] != 'SPDXRef-Image' and 'pkg:' in json.dumps(p) and 'cross' not in p['name'])
    names = [{p['name'] for p in listed(archive)['packages'] if 'gcc' not in p['name'] and 'image' not in p['name']}
             for archive in archives.values()]
    assert names[0] == names[1]
