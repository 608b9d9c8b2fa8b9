#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the list of what is in the image (SPDX 2.3, JSON), and prints the licences of all of it as one expression.

    sbom.py ROOT FACTS PATH        PATH: of the list in ROOT

FACTS has lines of words separated by tabs, from deploy/image:
    image ARCHITECTURE CREATED
    fairlead VERSION COMMIT
    wolfssl VERSION FILE SHA256
    shipped PACKAGE VERSION SOURCE SOURCE-VERSION ARCHITECTURE        a Debian package of which the image has files
    compiled PACKAGE VERSION SOURCE SOURCE-VERSION ARCHITECTURE       one of which our programs have code
    from FILE PACKAGE                                                 whose a file of the image is
    needs FILE FILE                                                   with which libraries it is linked when it starts
"""
import hashlib
import json
import re
import sys
import uuid
from pathlib import Path

# As their copyright files have it, of what is used here: the libraries, not the tests, manuals and build scripts beside them.
LICENCES = {
    'fairlead': 'GPL-3.0-or-later',
    'wolfssl': 'GPL-3.0-or-later',
    'libbsd0': 'BSD-3-Clause AND BSD-2-Clause AND ISC AND MIT AND Beerware',
    'libc-ares2': 'MIT',
    'libc6': 'LGPL-2.1-or-later',
    'libc6-dev': 'LGPL-2.1-or-later',
    'libcjson1': 'MIT',
    'libcjson-dev': 'MIT',
    'libedit2': 'BSD-3-Clause',
    'libgcc-dev': 'GPL-3.0-or-later WITH GCC-exception-3.1',
    'libgmp10': 'LGPL-3.0-or-later OR GPL-2.0-or-later',
    'libhttp-parser': 'MIT',
    'libinih1': 'BSD-3-Clause',
    'libjansson4': 'MIT',
    'libmd0': 'BSD-3-Clause AND BSD-2-Clause AND ISC AND Beerware',
    'libmnl0': 'LGPL-2.1-or-later',
    'libnftables1': 'GPL-2.0-only',
    'libnftnl11': 'GPL-2.0-or-later',
    'libtinfo6': 'X11-distribute-modifications-variant',
    'libuv1': 'MIT AND BSD-2-Clause AND BSD-3-Clause AND ISC',
    'libxtables12': 'GPL-2.0-only',
    'libyaml-0-2': 'MIT',
    'libyaml-dev': 'MIT',
    'nftables': 'GPL-2.0-only',
    'uthash-dev': 'BSD-1-Clause',
}


def licence_of(package):
    """libgcc-12-dev-arm64-cross is libgcc-dev here, libhttp-parser2.9 libhttp-parser, and libuv1t64 (Debian 13) libuv1."""
    plain = re.sub(r'-\d+-dev(-\w+-cross)?$', '-dev', package)
    for name in package, package.removesuffix('t64'), plain, re.sub(r'[\d.]+$', '', package.removesuffix('t64')):
        if name in LICENCES:
            return LICENCES[name]
    sys.exit(f'deploy/image: no licence is known of {package}: read its copyright file, and add it to {__file__}.')


def joined(expressions):
    parts = {part if ' OR ' not in part else f'({part})' for e in expressions for part in e.split(' AND ')}
    return ' AND '.join(sorted(parts))


def read_facts(path):
    facts = {}
    for line in Path(path).read_text(encoding='utf-8').splitlines():
        kind, *words = line.split('\t')
        facts.setdefault(kind, []).append(words)
    return facts


def ident(kind, name):
    return f'SPDXRef-{kind}-' + re.sub(r'[^A-Za-z0-9.-]', '-', name.strip('./'))


def purl(package, version, architecture):
    version = version.replace('+', '%2B').replace(':', '%3A')
    return f'pkg:deb/debian/{package}@{version}?arch={architecture}'


def package(name, version, **more):
    return {'SPDXID': ident('Package', name), 'name': name, 'versionInfo': version, 'downloadLocation': 'NOASSERTION',
            'filesAnalyzed': False, 'licenseConcluded': licence_of(name), 'licenseDeclared': licence_of(name),
            'copyrightText': 'NOASSERTION', **more}


def reference(category, kind, locator):
    return {'externalRefs': [{'referenceCategory': category, 'referenceType': kind, 'referenceLocator': locator}]}


def debian(name, version, source, source_version, architecture):
    return package(name, version, supplier='Organization: Debian',
                   sourceInfo=f'built from the Debian source package {source} {source_version}; '
                              f'its copyright notices: /usr/share/doc/{name}/copyright',
                   **reference('PACKAGE-MANAGER', 'purl', purl(name, version, architecture)))


def files_of(root, except_for, owners):
    for path in sorted(p for p in root.rglob('*') if p.is_file() and not p.is_symlink()):
        name = '/' + str(path.relative_to(root))
        if name == except_for:
            continue
        data = path.read_bytes()
        licence = licence_of(owners[name]) if name in owners else 'NOASSERTION'
        yield {'SPDXID': ident('File', name), 'fileName': '.' + name,
               'fileTypes': ['BINARY' if data.startswith(b'\x7fELF') else 'TEXT'],
               'checksums': [{'algorithm': a, 'checksumValue': hashlib.new(a, data).hexdigest()} for a in ('SHA1', 'SHA256')],
               'licenseConcluded': licence, 'licenseInfoInFiles': ['NOASSERTION'], 'copyrightText': 'NOASSERTION'}


def verification(files, except_for):
    """Section 7.9 of SPDX 2.3."""
    sums = sorted(file['checksums'][0]['checksumValue'] for file in files)
    return {'packageVerificationCodeValue': hashlib.sha1(''.join(sums).encode()).hexdigest(),
            'packageVerificationCodeExcludedFiles': ['.' + except_for]}


def document(root, facts, path):
    (architecture, created), = facts['image']
    (version, commit), = facts['fairlead']
    (wolfssl_version, wolfssl_file, wolfssl_hash), = facts['wolfssl']
    owners = dict(facts['from'])
    files = list(files_of(root, path, owners))
    ours = package('fairlead', version, supplier='NOASSERTION', primaryPackagePurpose='APPLICATION',
                   sourceInfo=f'built from the commit {commit}')
    wolfssl = package('wolfssl', wolfssl_version, packageFileName=wolfssl_file, supplier='Organization: wolfSSL Inc.',
                      checksums=[{'algorithm': 'SHA256', 'checksumValue': wolfssl_hash}],
                      sourceInfo='compiled into both programs from this file of the Debian archive, with the settings and mends of '
                                 'deploy/subprojects/packagefiles/wolfssl',
                      **reference('SECURITY', 'cpe23Type', f'cpe:2.3:a:wolfssl:wolfssl:{wolfssl_version}:*:*:*:*:*:*:*'))
    shipped = [debian(*words) for words in facts['shipped']]
    compiled = [debian(*words) for words in facts['compiled']]
    licences = joined(p['licenseConcluded'] for p in (ours, wolfssl, *shipped, *compiled))
    image = {'SPDXID': 'SPDXRef-Image', 'name': f'fairlead-image-{architecture}', 'versionInfo': version,
             'downloadLocation': 'NOASSERTION', 'filesAnalyzed': True, 'packageVerificationCode': verification(files, path),
             'primaryPackagePurpose': 'CONTAINER', 'licenseConcluded': licences, 'licenseDeclared': licences,
             'licenseInfoFromFiles': ['NOASSERTION'], 'copyrightText': 'NOASSERTION', 'supplier': 'NOASSERTION'}
    relations = [('SPDXRef-DOCUMENT', 'DESCRIBES', image['SPDXID'])]
    relations += [(image['SPDXID'], 'CONTAINS', each['SPDXID']) for each in (ours, *shipped, *files)]
    relations += [(ours['SPDXID'], 'STATIC_LINK', each['SPDXID']) for each in (wolfssl, *compiled)]
    relations += [(ident('File', file), 'GENERATED_FROM' if owner == 'fairlead' else 'EXPANDED_FROM_ARCHIVE', ident('Package', owner))
                  for file, owner in facts['from']]
    relations += [(ident('File', file), 'DYNAMIC_LINK', ident('File', library)) for file, library in facts['needs']]
    content = {
        'spdxVersion': 'SPDX-2.3', 'dataLicense': 'CC0-1.0', 'SPDXID': 'SPDXRef-DOCUMENT', 'name': image['name'] + '-' + version,
        'creationInfo': {'created': created, 'creators': [f'Tool: fairlead-deploy-image-{version}']},
        'packages': [image, ours, wolfssl, *shipped, *compiled], 'files': files,
        'relationships': [{'spdxElementId': a, 'relationshipType': b, 'relatedSpdxElement': c} for a, b, c in relations],
    }
    # Another list has another name, the same list the same one.
    name = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    return {**content, 'documentNamespace': f'https://spdx.org/spdxdocs/{content["name"]}-{name}'}


def main():
    root, facts, path = sys.argv[1:]
    written = document(Path(root), read_facts(facts), path)
    Path(root + path).write_text(json.dumps(written, indent=1) + '\n', encoding='utf-8')
    print(written['packages'][0]['licenseConcluded'])


if __name__ == '__main__':
    main()
